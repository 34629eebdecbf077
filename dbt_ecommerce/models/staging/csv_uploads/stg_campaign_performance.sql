with

campaign_performance as (

    select
        *,
        trim(campaign_id) as clean_campaign_id
    from {{ source('csv_uploads', 'raw_campaign_performance') }}
    where _deleted_at is null

),

newest as (

    select * from campaign_performance
    {{ newest_version(
        ['date', 'clean_campaign_id'],
        ['_file_modified_at desc nulls last', '_loaded_at desc', 'campaign_id'],
    ) }}

),

cleaned as (

    select
        ---------- ids
        date as performance_date,
        clean_campaign_id as campaign_id,
        coalesce({{ channel('channel') }}, 'unknown') as channel,
        coalesce({{ clean_text('campaign_name') }}, 'unknown') as campaign_name,

        ---------- numerics
        coalesce(conversions, 0) as conversions,
        coalesce(revenue_attributed, 0) as revenue_attributed,

        ---------- booleans
        coalesce(conversions < 0 or revenue_attributed < 0, false) as is_performance_negative,

        ---------- timestamps
        _loaded_at
    from newest

)

select * from cleaned
