-- every mart: this table is built when they all are
-- depends_on: {{ ref('fct_orders') }}
-- depends_on: {{ ref('fct_order_items') }}
-- depends_on: {{ ref('fct_payments') }}
-- depends_on: {{ ref('fct_daily_revenue') }}
-- depends_on: {{ ref('fct_marketing_performance') }}
-- depends_on: {{ ref('dim_customers') }}
-- depends_on: {{ ref('dim_products') }}
-- depends_on: {{ ref('dim_dates') }}
{{ refuse_half_a_full_refresh() }}
with

build_window as (

    select * from {{ ref('int_build_window') }}

),

built as (

    select
        raw_table,
        loaded_until,
        build_number
    from build_window

)

select * from built
