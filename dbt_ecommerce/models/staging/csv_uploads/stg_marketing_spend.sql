with

marketing_spend as (

    select
        *,
        {{ channel('channel') }} as clean_channel,
        trim(campaign_name) as clean_campaign_name
    from {{ source('csv_uploads', 'raw_marketing_spend') }}
    where _deleted_at is null

),

-- 'Google Ads ' and 'google_ads' are two raw keys and one channel: the newest export wins
newest as (

    select * from marketing_spend
    {{ newest_version(
        ['date', 'clean_channel', 'clean_campaign_name'],
        ['_file_modified_at desc nulls last', '_loaded_at desc', 'channel', 'campaign_name']
    ) }}

),

cleaned as (

    select
        ---------- ids
        date as spend_date,
        clean_channel as channel,
        clean_campaign_name as campaign_name,

        ---------- numerics
        spend,
        coalesce(impressions, 0) as impressions,
        coalesce(clicks, 0) as clicks,

        ---------- booleans
        spend < 0 as is_spend_negative,
        coalesce(clicks > impressions, false) as is_clicks_suspicious,

        ---------- timestamps
        _loaded_at
    from newest

)

select * from cleaned
