-- Spend of a campaign's day is at most 20 times its average of all other days; a campaign of a week
-- has a history.
{{ config(severity='warn') }}

with

campaigns as (

    select
        *,
        sum(spend) over (partition by channel, campaign_name) as spend_of_campaign,
        count(*) over (partition by channel, campaign_name) as days_of_campaign
    from {{ ref('fct_marketing_performance') }}
    where spend > 0

)

select
    date_day,
    channel,
    campaign_name,
    spend
from campaigns
where days_of_campaign > 7 and spend * (days_of_campaign - 1) > 20 * (spend_of_campaign - spend)
