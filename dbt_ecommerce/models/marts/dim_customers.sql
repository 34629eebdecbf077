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

history as (

    select * from {{ ref('customer_history') }}
    {{ of_changed('customer_id', 'changed_customers') }}

),

-- with a changed customer come all that share an e-mail with it
customers as (

    select * from {{ ref('int_customer_profiles') }}
    {{ of_this_build() }}

),

deletions as (

    select * from {{ ref('int_customer_deletions') }}

),

lifetime as (

    select * from {{ ref('int_customer_lifetime') }}
    {{ of_this_build() }}

),

versions as (

    select
        *,
        row_number() over (partition by customer_id order by dbt_valid_from, dbt_scd_id) as version_number,
        lead(dbt_valid_from) over (partition by customer_id order by dbt_valid_from, dbt_scd_id) as next_valid_from
    from history

),

-- two customers with one e-mail in different case are likely one person: the older account stands for both
persons as (

    select
        customer_id,
        min(customer_id) over (partition by email) as primary_customer_id,
        count(*) over (partition by email) > 1 as is_email_duplicate
    from customers

),

dated as (

    select
        versions.*,
        -- nothing is known from before the first version, so it reaches back to the customer's beginning
        case
            when versions.version_number = 1
                then {{ oldest_of(['customers.created_at', 'lifetime.first_ordered_at', 'versions.dbt_valid_from']) }}
            else versions.dbt_valid_from
        end as valid_from,
        coalesce(
            versions.next_valid_from,
            {{ newest_of(['deletions.deleted_at', dbt.dateadd('microsecond', 1, 'versions.dbt_valid_from')]) }}
        ) as ended_at,
        customers.customer_id is null as is_deleted
    from versions
    left join customers
        on versions.customer_id = customers.customer_id
    left join deletions
        on versions.customer_id = deletions.customer_id
    left join lifetime
        on versions.customer_id = lifetime.customer_id
    where customers.customer_id is not null or deletions.customer_id is not null

),

final as (

    select
        ---------- ids
        cast(dated.dbt_scd_id as varchar) as customer_key,
        dated.customer_id,
        persons.primary_customer_id,

        ---------- text, as of this version
        dated.tier,
        dated.address,
        dated.city,
        dated.state,
        dated.country,
        dated.zip_code,

        ---------- text, as of now
        customers.email,
        customers.first_name,
        customers.last_name,
        customers.phone,

        ---------- numerics, as of now
        cast(dated.version_number as integer) as version_number,
        coalesce(lifetime.order_count, 0) as order_count,
        coalesce(lifetime.cancelled_order_count, 0) as cancelled_order_count,
        cast(coalesce(lifetime.gross_revenue, 0) as decimal(18, 2)) as gross_revenue,
        cast(coalesce(lifetime.refunded_amount, 0) as decimal(18, 2)) as refunded_amount,
        cast(coalesce(lifetime.net_revenue, 0) as decimal(18, 2)) as net_revenue,
        cast({{ ratio('lifetime.gross_revenue', 'lifetime.order_count', 2) }} as decimal(18, 2)) as average_order_value,

        ---------- booleans
        dated.next_valid_from is null and not dated.is_deleted as is_current,
        dated.is_deleted,
        coalesce(customers.is_phone_missing, true) as is_phone_missing,
        coalesce(customers.is_email_malformed, false) as is_email_malformed,
        coalesce(persons.is_email_duplicate, false) as is_email_duplicate,

        ---------- timestamps
        dated.valid_from,
        case when dated.next_valid_from is not null or dated.is_deleted then dated.ended_at end as valid_to,
        customers.created_at,
        lifetime.first_ordered_at,
        lifetime.last_ordered_at
    from dated
    left join customers
        on dated.customer_id = customers.customer_id
    left join persons
        on dated.customer_id = persons.customer_id
    left join lifetime
        on dated.customer_id = lifetime.customer_id

)

select * from final
