-- Money given back, on the day it moved. A refund belongs to an order, not to a line, so no category narrows it.
select
    order_date as day,
    refund_count,
    refunds,
    revenue_refunds
from published.fct_daily_revenue
where order_date between :first_day and :last_day
order by order_date
