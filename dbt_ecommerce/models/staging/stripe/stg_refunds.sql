with

refunds as (

    {{ newest_rows(source('stripe', 'raw_refunds'), 'refund_id', '_fetched_at', 'int_refunds_matched') }}

),

cleaned as (

    select
        ---------- ids
        refund_id,
        charge_id,

        ---------- text
        case
            when lower(status) in ('succeeded', 'pending', 'failed', 'canceled', 'requires_action') then lower(status)
            else 'other'
        end as status,
        coalesce({{ clean_text('reason') }}, 'not given') as reason,
        lower(currency) as currency,

        ---------- numerics
        amount,

        ---------- booleans
        coalesce(lower(status) = 'succeeded', false) as is_succeeded,

        ---------- timestamps
        cast(created_at as date) as refund_date,
        created_at as refunded_at,
        _loaded_at
    from refunds

)

select * from cleaned
