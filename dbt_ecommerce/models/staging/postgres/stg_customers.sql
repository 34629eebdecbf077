with

customers as (

    select * from {{ source('postgres', 'raw_customers') }}

),

-- twice: DuckDB keeps the result of what is named twice, and then takes no filter through the
-- joins to the raw table
states_by_code as (

    select * from {{ ref('us_states') }}

),

states_by_name as (

    select * from {{ ref('us_states') }}

),

country_aliases as (

    select * from {{ ref('country_aliases') }}

),

cleaned as (

    select
        customer_id,
        lower({{ clean_text('email') }}) as email,
        {{ clean_text('first_name') }} as first_name,
        {{ clean_text('last_name') }} as last_name,
        {{ clean_text('phone') }} as phone,
        {{ clean_text('address') }} as address,
        {{ clean_text('city') }} as city,
        {{ clean_text('state') }} as source_state,
        {{ clean_text('country') }} as source_country,
        {{ clean_text('zip_code') }} as zip_code,
        created_at,
        updated_at,
        _deleted_at,
        _loaded_at
    from customers

),

normalised as (

    select
        ---------- ids
        cleaned.customer_id,

        ---------- text
        cleaned.email,
        cleaned.first_name,
        cleaned.last_name,
        cleaned.phone,
        cleaned.address,
        cleaned.city,
        {{ us_state(
            'cleaned.source_state', 'cleaned.source_country', 'country_aliases.country_code'
        ) }} as state,
        coalesce(country_aliases.country_code, cleaned.source_country) as country,
        cleaned.zip_code,

        ---------- booleans
        cleaned.phone is null as is_phone_missing,
        coalesce(cleaned.email not like '%_@_%._%', true) as is_email_malformed,
        cleaned._deleted_at is not null as is_deleted,

        ---------- timestamps
        cleaned.created_at,
        cleaned.updated_at,
        cleaned._deleted_at as deleted_at,
        cleaned._loaded_at
    from cleaned
    left join country_aliases
        on lower(cleaned.source_country) = country_aliases.alias
    left join states_by_code as by_code
        on upper(cleaned.source_state) = by_code.state_code
    left join states_by_name as by_name
        on lower(cleaned.source_state) = by_name.state_name

)

select * from normalised
