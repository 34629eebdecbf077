-- The mart holds all the money and all the revenue that the cleaned exports hold.
with

mart as (

    select
        coalesce(sum(spend), 0) as spend,
        coalesce(sum(revenue_attributed), 0) as revenue_attributed
    from {{ ref('int_campaigns_joined') }}

),

exported as (

    select
        (select coalesce(sum(spend), 0) from {{ ref('stg_marketing_spend') }}) as spend,
        (
            select coalesce(sum(revenue_attributed), 0)
            from {{ ref('stg_campaign_performance') }}
        ) as revenue_attributed

)

select
    mart.spend,
    exported.spend as exported_spend,
    mart.revenue_attributed,
    exported.revenue_attributed as exported_revenue_attributed
from mart
cross join exported
where mart.spend <> exported.spend or mart.revenue_attributed <> exported.revenue_attributed
