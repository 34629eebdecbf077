-- A day has one rate per currency: two would double every payment of that day.
with

rates as (

    select
        currency,
        valid_from,
        valid_to,
        lead(valid_from) over (partition by currency order by valid_from) as next_valid_from
    from {{ ref('currency_rates') }}

)

select * from rates
where next_valid_from is not null and {{ dbt.dateadd('day', 1, 'valid_to') }} <> next_valid_from
