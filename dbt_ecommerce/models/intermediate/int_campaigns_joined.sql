{{ config(materialized='table') }}

with

marketing_spend as (

    select * from {{ ref('stg_marketing_spend') }}

),

campaign_performance as (

    select * from {{ ref('stg_campaign_performance') }}

),

-- several campaign ids can bear one name
performance_of_campaign as (

    select
        performance_date,
        channel,
        campaign_name,
        cast(sum(conversions) as bigint) as conversions,
        cast(sum(revenue_attributed) as decimal(18, 2)) as revenue_attributed
    from campaign_performance
    group by performance_date, channel, campaign_name

),

joined as (

    select
        ---------- ids
        coalesce(marketing_spend.spend_date, performance_of_campaign.performance_date) as date_day,
        coalesce(marketing_spend.channel, performance_of_campaign.channel) as channel,
        coalesce(marketing_spend.campaign_name, performance_of_campaign.campaign_name)
            as campaign_name,

        ---------- numerics
        coalesce(marketing_spend.spend, 0) as spend,
        coalesce(marketing_spend.impressions, 0) as impressions,
        coalesce(marketing_spend.clicks, 0) as clicks,
        coalesce(performance_of_campaign.conversions, 0) as conversions,
        coalesce(performance_of_campaign.revenue_attributed, 0) as revenue_attributed,

        ---------- booleans
        marketing_spend.spend_date is not null as has_spend,
        performance_of_campaign.performance_date is not null as has_performance
    from marketing_spend
    full outer join performance_of_campaign
        on
            marketing_spend.spend_date = performance_of_campaign.performance_date
            and marketing_spend.channel = performance_of_campaign.channel
            and marketing_spend.campaign_name = performance_of_campaign.campaign_name

)

select * from joined
