-- One row per day, days without any order included, over all categories.
select
    order_date as day,
    orders,
    gross_revenue,
    customers as active_customers
from published.fct_daily_revenue
where order_date between :first_day and :last_day
order by order_date
