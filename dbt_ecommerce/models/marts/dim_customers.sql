{{ config(materialized='incremental', unique_key='customer_id') }}

{%- set changed_customers = changed_keys('customer_id') %}

with

history as (

    select * from {{ ref('customer_history') }}

),

profiles as (

    select * from {{ ref('int_customer_profiles') }}

),

all_customers as (

    select * from {{ ref('int_customers_cleaned') }}

),

shared_emails as (

    select * from {{ ref('int_shared_emails') }}

),

lifetime as (

    select * from {{ ref('int_customer_lifetime') }}

),

customers as (

    select
        customer_id,
        is_deleted,
        deleted_at
    from all_customers
    {%- if is_incremental() %}
    where
        customer_id in ({{ changed_customers }})
        -- accounts that share an e-mail are one person: another account may stand for it now
        or customer_id in (
            select known.customer_id
            from {{ this }} as known
            left join shared_emails
                on known.email = shared_emails.email
            where
                known.primary_customer_id
                <> coalesce(shared_emails.primary_customer_id, known.customer_id)
                or known.is_email_duplicate <> (shared_emails.email is not null)
        )
    {%- endif %}

),

versions as (

    select
        history.*,
        customers.is_deleted,
        customers.deleted_at,
        row_number() over (
            partition by history.customer_id order by history.dbt_valid_from, history.dbt_scd_id
        ) as version_number,
        lead(history.dbt_valid_from) over (
            partition by history.customer_id order by history.dbt_valid_from, history.dbt_scd_id
        ) as next_valid_from
    from history
    inner join customers
        on history.customer_id = customers.customer_id

),

dated as (

    select
        versions.*,
        -- nothing is known from before the first version: it begins with the customer
        case
            when versions.version_number = 1
                then {{ oldest_of([
                    'profiles.created_at',
                    'lifetime.first_ordered_at',
                    'versions.dbt_valid_from',
                ]) }}
            else versions.dbt_valid_from
        end as valid_from,
        coalesce(
            versions.next_valid_from,
            {{ newest_of([
                'versions.deleted_at',
                dbt.dateadd('microsecond', 1, 'versions.dbt_valid_from'),
            ]) }}
        ) as ended_at
    from versions
    left join profiles
        on versions.customer_id = profiles.customer_id
    left join lifetime
        on versions.customer_id = lifetime.customer_id

),

final as (

    select
        ---------- ids
        cast(dated.dbt_scd_id as varchar) as customer_key,
        dated.customer_id,
        case
            when not dated.is_deleted
                then coalesce(shared_emails.primary_customer_id, dated.customer_id)
        end as primary_customer_id,

        ---------- text, as of this version
        dated.tier,
        dated.address,
        dated.city,
        dated.state,
        dated.country,
        dated.zip_code,

        ---------- text, as of now
        profiles.email,
        profiles.first_name,
        profiles.last_name,
        profiles.phone,

        ---------- numerics, as of now
        cast(dated.version_number as integer) as version_number,
        coalesce(lifetime.order_count, 0) as order_count,
        coalesce(lifetime.cancelled_order_count, 0) as cancelled_order_count,
        cast(coalesce(lifetime.gross_revenue, 0) as decimal(18, 2)) as gross_revenue,
        cast(coalesce(lifetime.revenue_refund_amount, 0) as decimal(18, 2))
            as revenue_refund_amount,
        cast(coalesce(lifetime.net_revenue, 0) as decimal(18, 2)) as net_revenue,
        cast({{ ratio('lifetime.gross_revenue', 'lifetime.order_count', 2) }} as decimal(18, 2))
            as average_order_value,

        ---------- booleans
        dated.next_valid_from is null and not dated.is_deleted as is_current,
        dated.is_deleted,
        coalesce(profiles.is_phone_missing, true) as is_phone_missing,
        coalesce(profiles.is_email_malformed, false) as is_email_malformed,
        shared_emails.email is not null as is_email_duplicate,

        ---------- timestamps
        dated.valid_from,
        case when dated.next_valid_from is not null or dated.is_deleted then dated.ended_at end
            as valid_to,
        profiles.created_at,
        lifetime.first_ordered_at,
        lifetime.last_ordered_at
    from dated
    left join profiles
        on dated.customer_id = profiles.customer_id
    left join shared_emails
        on profiles.email = shared_emails.email
    left join lifetime
        on dated.customer_id = lifetime.customer_id

)

select * from final
