with

orders as (

    select * from {{ source('postgres', 'raw_orders') }}

),

order_statuses as (

    select * from {{ ref('order_statuses') }}

),

-- twice: DuckDB keeps the result of what is named twice, and then takes no filter through the
-- joins to the raw table
states_by_code as (

    select * from {{ ref('us_states') }}

),

states_by_name as (

    select * from {{ ref('us_states') }}

),

country_aliases as (

    select * from {{ ref('country_aliases') }}

),

cleaned as (

    select
        order_id,
        customer_id,
        lower(trim(status)) as source_status,
        {{ clean_text('shipping_address') }} as shipping_address,
        {{ clean_text('shipping_city') }} as shipping_city,
        {{ clean_text('shipping_state') }} as source_state,
        {{ clean_text('shipping_country') }} as source_country,
        {{ clean_text('shipping_zip') }} as shipping_zip,
        total_amount,
        order_date as ordered_at,
        created_at,
        updated_at,
        _deleted_at,
        _loaded_at
    from orders

),

normalised as (

    select
        ---------- ids
        cleaned.order_id,
        cleaned.customer_id,

        ---------- text
        coalesce(order_statuses.status, 'other') as status,
        cleaned.source_status,
        cleaned.shipping_address,
        cleaned.shipping_city,
        {{ us_state(
            'cleaned.source_state', 'cleaned.source_country', 'country_aliases.country_code'
        ) }} as shipping_state,
        coalesce(country_aliases.country_code, cleaned.source_country) as shipping_country,
        cleaned.shipping_zip,

        ---------- numerics
        cleaned.total_amount,

        ---------- booleans
        coalesce(order_statuses.status, 'other') = 'cancelled' as is_cancelled,
        cleaned.customer_id is null as is_customer_missing,
        cleaned.total_amount < 0 as is_total_negative,
        cast(cleaned.ordered_at as date) > cast(cleaned._loaded_at as date) as is_future_dated,
        cleaned._deleted_at is not null as is_deleted,

        ---------- timestamps
        cast(cleaned.ordered_at as date) as order_date,
        cleaned.ordered_at,
        cleaned.created_at,
        cleaned.updated_at,
        cleaned._loaded_at
    from cleaned
    left join order_statuses
        on cleaned.source_status = order_statuses.source_status
    left join country_aliases
        on lower(cleaned.source_country) = country_aliases.alias
    left join states_by_code as by_code
        on upper(cleaned.source_state) = by_code.state_code
    left join states_by_name as by_name
        on lower(cleaned.source_state) = by_name.state_name

)

select * from normalised
