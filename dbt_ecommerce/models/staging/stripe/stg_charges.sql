with

charges as (

    select * from {{ source('stripe', 'raw_charges') }}

),

cleaned as (

    select
        ---------- ids
        charge_id,
        {{ to_integer('order_id') }} as order_id,
        {{ clean_text('order_id') }} as order_reference,
        {{ clean_text('customer_id') }} as stripe_customer_id,
        {{ clean_text('payment_intent_id') }} as payment_intent_id,

        ---------- text
        case
            when lower(status) in ('succeeded', 'pending', 'failed') then lower(status)
            else 'other'
        end as status,
        lower(status) as source_status,
        lower(currency) as currency,
        {{ clean_text('failure_code') }} as failure_code,

        ---------- numerics
        amount,
        coalesce(amount_captured, 0) as amount_captured,
        coalesce(amount_refunded, 0) as amount_refunded,

        ---------- booleans
        coalesce(is_paid, false) as is_paid,
        coalesce(is_captured, false) as is_captured,
        coalesce(is_refunded, false) as is_refunded,
        coalesce(is_disputed, false) as is_disputed,
        {{ to_integer('order_id') }} is null as is_order_reference_missing,
        _deleted_at is not null as is_deleted,

        ---------- timestamps
        cast(created_at as date) as charge_date,
        created_at as charged_at,
        _fetched_at,
        _loaded_at
    from charges

)

select * from cleaned
