with

campaigns as (

    select * from {{ ref('int_campaigns_joined') }}

),

final as (

    select
        ---------- ids
        {{ surrogate_key(['date_day', 'channel', 'campaign_name']) }} as marketing_performance_key,
        date_day,
        channel,
        campaign_name,

        ---------- numerics
        cast(spend as decimal(18, 2)) as spend,
        cast(impressions as bigint) as impressions,
        cast(clicks as bigint) as clicks,
        cast(conversions as bigint) as conversions,
        cast(revenue_attributed as decimal(18, 2)) as revenue_attributed,
        {{ ratio('revenue_attributed', 'spend') }} as roas,
        {{ ratio('spend', 'conversions') }} as cac,
        {{ ratio('clicks', 'impressions', 6) }} as click_through_rate,
        {{ ratio('spend', 'clicks') }} as cost_per_click,
        {{ ratio('conversions', 'clicks', 6) }} as conversion_rate,

        ---------- booleans
        has_spend,
        has_performance
    from campaigns

)

select * from final
