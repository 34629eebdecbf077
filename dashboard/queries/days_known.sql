-- The first and the last day on which anything happened; null before the first order.
select
    min(order_date) as first_day,
    max(order_date) as last_day
from published.fct_daily_revenue
