with

disputes as (

    select * from {{ source('stripe', 'raw_disputes') }}

),

cleaned as (

    select
        ---------- ids
        dispute_id,
        charge_id,

        ---------- text
        case
            when lower(status) in ('won', 'warning_closed', 'prevented') then 'won'
            when lower(status) = 'lost' then 'lost'
            when lower(status) in (
                'needs_response', 'under_review', 'warning_needs_response', 'warning_under_review'
            ) then 'open'
            else 'other'
        end as status,
        lower(status) as source_status,
        coalesce({{ clean_text('reason') }}, 'not given') as reason,
        lower(currency) as currency,

        ---------- numerics
        amount,

        ---------- booleans
        _deleted_at is not null as is_deleted,

        ---------- timestamps
        cast(created_at as date) as dispute_date,
        created_at as disputed_at,
        _fetched_at,
        _loaded_at
    from disputes

)

select * from cleaned
