with

customers as (

    select * from {{ ref('stg_customers') }}

),

lifetime as (

    select * from {{ ref('int_customer_lifetime') }}

),

-- what the history of a customer is kept of: tier and address, and the time in the data at which they last could change
profiles as (

    select
        ---------- ids
        customers.customer_id,

        ---------- text
        {{ customer_tier('coalesce(lifetime.net_revenue, 0)') }} as tier,
        customers.address,
        customers.city,
        customers.state,
        customers.country,
        customers.zip_code,

        ---------- timestamps
        coalesce(
            {{ newest_of(['customers.updated_at', 'customers.created_at', 'lifetime.last_changed_at']) }},
            customers._loaded_at
        ) as changed_at,
        {{ newest_of(['customers._loaded_at', 'lifetime._loaded_at']) }} as _loaded_at
    from customers
    left join lifetime
        on customers.customer_id = lifetime.customer_id

)

select * from profiles
