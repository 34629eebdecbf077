{{ config(unique_key='customer_id') }}

with

customers as (

    select * from {{ ref('int_customers_cleaned') }}

),

lifetime as (

    select * from {{ ref('int_customer_lifetime') }}

),

wanted as (

    select * from customers
    {{ where_changed('customer_id') }}

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
    where not wanted.is_deleted

)

select * from profiles
