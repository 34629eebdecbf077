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
    A new version is valid from the time in the data at which the customer last changed, not from the clock of the run: the
    same data give the same history whenever dbt runs. Some changes leave no later time behind (an order deleted in the
    source lowers a tier, a cleaning rule changes). They are valid from the newest load, and always after the version before.
-#}
{%- set known = load_relation(this) -%}

with

profiles as (

    select * from {{ ref('int_customer_profiles') }}

),

newest_load as (

    select max(_loaded_at) as _loaded_at from profiles

),

{% if known is not none %}

current_versions as (

    select
        customer_id,
        dbt_valid_from as valid_from,
        tier,
        address,
        city,
        state,
        country,
        zip_code
    from {{ this }}
    where dbt_valid_to is null

),

{% else %}

current_versions as (

    select
        customer_id,
        cast(null as timestamp) as valid_from
    from profiles
    where 1 = 0

),

{% endif %}

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
            when current_versions.valid_from is null or profiles.changed_at > current_versions.valid_from
                then profiles.changed_at
            else {{ newest_of(['newest_load._loaded_at', dbt.dateadd('microsecond', 1, 'current_versions.valid_from')]) }}
        end as changed_at
    from profiles
    cross join newest_load
    left join current_versions
        on profiles.customer_id = current_versions.customer_id
    {% if known is not none %}
    -- dbt would find as much, but only after carrying every customer through several joins
    where
        {{ is_new_or_changed('profiles', 'current_versions', 'customer_id', [
            'tier', 'address', 'city', 'state', 'country', 'zip_code'
        ]) }}
    {% endif %}

)

select * from dated

{% endsnapshot %}
