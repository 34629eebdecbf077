-- Each day of the daily mart equals the orders of that day, and no day with an order is missing up
-- to its last one.
with

daily as (

    select * from {{ ref('fct_daily_revenue') }}

),

orders_of_day as (

    select
        order_date,
        sum(case when is_cancelled then 0 else 1 end) as orders,
        sum(case when is_cancelled then 0 else total_amount end) as gross_revenue
    from {{ ref('fct_orders') }}
    where order_date >= cast('{{ var("first_calendar_year") }}-01-01' as date)
    group by order_date

)

-- the last day is compared after the sums, not before: DuckDB 2.0.0 takes the rows of the daily
-- mart for the most that such a comparison lets through, and sums over more for impossible
select
    coalesce(daily.order_date, orders_of_day.order_date) as order_date,
    daily.orders,
    orders_of_day.orders as orders_in_fct_orders,
    daily.gross_revenue,
    orders_of_day.gross_revenue as gross_revenue_in_fct_orders
from daily
full outer join orders_of_day
    on daily.order_date = orders_of_day.order_date
where
    (
        daily.order_date is null
        and orders_of_day.order_date <= (select max(shown.order_date) from daily as shown)
    )
    or daily.orders <> coalesce(orders_of_day.orders, 0)
    or daily.gross_revenue <> coalesce(orders_of_day.gross_revenue, 0)
