{% snapshot customer_history %}

{{
    config(
        unique_key='customer_id',
        strategy='check',
        check_cols=['tier', 'address', 'city', 'state', 'country', 'zip_code'],
        updated_at='changed_at',
        hard_deletes='ignore',
    )
}}

{#-
    A new version is valid from the time in the data at which the customer last changed, not from
    the clock of the run: the same data give the same history whenever dbt runs. Some changes leave
    no later time behind (an order deleted in the source lowers a tier, a cleaning rule changes).
    They are valid from the newest load, and always after the version before.
-#}
{%- set known = load_relation(this) -%}

with

profiles as (

    select * from {{ ref('int_customer_profiles') }}
    {{ where_changed('customer_id') }}

),

all_profiles as (

    select * from {{ ref('int_customer_profiles') }}

),

newest_load as (

    select max(_loaded_at) as _loaded_at from all_profiles

),

versions as (

    {% if known is not none -%}
    select
        customer_id,
        dbt_valid_from as valid_from
    from {{ this }}
    where dbt_valid_to is null
    {%- else -%}
    select
        customer_id,
        cast(null as timestamp) as valid_from
    from profiles
    where 1 = 0
    {%- endif %}

),

current_versions as (

    select
        versions.*,
        -- Snowflake writes three decimals of a time into the key of a version
        {{ dbt.dateadd('millisecond', 1, 'versions.valid_from') }} as earliest_next
    from versions
    inner join profiles
        on versions.customer_id = profiles.customer_id

),

dated as (

    select
        profiles.customer_id,
        profiles.tier,
        profiles.address,
        profiles.city,
        profiles.state,
        profiles.country,
        profiles.zip_code,
        case
            when
                current_versions.valid_from is null
                or profiles.changed_at >= current_versions.earliest_next
                then profiles.changed_at
            else {{ newest_of(['newest_load._loaded_at', 'current_versions.earliest_next']) }}
        end as changed_at
    from profiles
    cross join newest_load
    left join current_versions
        on profiles.customer_id = current_versions.customer_id

)

select * from dated

{% endsnapshot %}
