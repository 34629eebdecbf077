{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        on_schema_change='fail',
        pre_hook="{{ delete_changed('customer_id', ref('int_changed_customers')) }}",
    )
}}

with

changed_customers as (

    select * from {{ ref('int_changed_customers') }}

),

customers as (

    select * from {{ ref('stg_customers') }}

),

lifetime as (

    select * from {{ ref('int_customer_lifetime') }}
    {{ of_this_build() }}

),

wanted as (

    select * from customers
    {{ of_changed('customer_id', 'changed_customers') }}

),

-- with the tier, and the time in the data at which tier or address could have changed last
profiles as (

    select
        ---------- ids
        wanted.customer_id,

        ---------- text
        wanted.email,
        wanted.first_name,
        wanted.last_name,
        wanted.phone,
        {{ customer_tier('coalesce(lifetime.net_revenue, 0)') }} as tier,
        wanted.address,
        wanted.city,
        wanted.state,
        wanted.country,
        wanted.zip_code,

        ---------- booleans
        wanted.is_phone_missing,
        wanted.is_email_malformed,

        ---------- timestamps
        wanted.created_at,
        coalesce(
            {{ newest_of(['wanted.updated_at', 'wanted.created_at', 'lifetime.last_changed_at']) }},
            wanted._loaded_at
        ) as changed_at,
        {{ newest_of(['wanted._loaded_at', 'lifetime._loaded_at']) }} as _loaded_at
    from wanted
    left join lifetime
        on wanted.customer_id = lifetime.customer_id

)

select
    *,
    {{ build_number() }} as _build_number
from profiles
