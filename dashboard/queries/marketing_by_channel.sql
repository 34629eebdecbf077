-- Spend, and the revenue the ad platforms attribute to it. Ratios do not add up, so their parts are summed here.
select
    channel,
    cast(coalesce(sum(spend), 0) as decimal(18, 2)) as spend,
    cast(coalesce(sum(revenue_attributed), 0) as decimal(18, 2)) as revenue_attributed,
    cast(coalesce(sum(conversions), 0) as bigint) as conversions,
    cast(coalesce(sum(clicks), 0) as bigint) as clicks
from published.fct_marketing_performance
where date_day between :first_day and :last_day
group by channel
order by spend desc, channel
