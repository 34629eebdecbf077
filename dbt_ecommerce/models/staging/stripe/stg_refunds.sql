with

refunds as (

    select * from {{ source('stripe', 'raw_refunds') }}

),

cleaned as (

    select
        ---------- ids
        refund_id,
        charge_id,

        ---------- text
        case
            when lower(status) in ('succeeded', 'pending', 'failed', 'canceled', 'requires_action')
                then lower(status)
            else 'other'
        end as status,
        coalesce({{ clean_text('reason') }}, 'not given') as reason,
        lower(currency) as currency,

        ---------- numerics
        amount,

        ---------- booleans
        coalesce(lower(status) = 'succeeded', false) as is_succeeded,
        {{ json_text('payload', ['balance_transaction']) }} is not null as has_balance_transaction,
        _deleted_at is not null as is_deleted,

        ---------- timestamps
        cast(created_at as date) as refund_date,
        created_at as refunded_at,
        _fetched_at,
        _loaded_at
    from refunds

)

select * from cleaned
