{%- set raw_tables = [
    source('postgres', 'raw_orders'),
    source('postgres', 'raw_order_items'),
    source('postgres', 'raw_customers'),
    source('stripe', 'raw_charges'),
    source('stripe', 'raw_refunds'),
    source('stripe', 'raw_disputes'),
] -%}
{%- set built_until = as_built('built_until') -%}
{{- refuse_half_a_full_refresh() -}}

with

loaded as (

    {% for raw_table in raw_tables -%}
    select
        '{{ raw_table.identifier | lower }}' as raw_table,
        max(_loaded_at) as loaded_until
    from {{ raw_table }}
    {%- if not loop.last %}
    union all
    {% endif %}
    {%- endfor %}

),

built as (

    {% if built_until -%}
    select
        raw_table,
        loaded_until,
        build_number
    from {{ built_until }}
    {%- else -%}
    select
        cast(null as varchar) as raw_table,
        cast(null as timestamp) as loaded_until,
        cast(null as integer) as build_number
    {%- endif %}

),

build_window as (

    select
        loaded.raw_table,
        coalesce(built.loaded_until, cast('1970-01-01' as timestamp)) as changed_since,
        loaded.loaded_until,
        cast(coalesce(max(built.build_number) over (), 0) + 1 as integer) as build_number,
        {{ builds_everything() }} as is_whole
    from loaded
    left join built
        on loaded.raw_table = built.raw_table

)

select * from build_window
