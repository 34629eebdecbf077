{#-
    What keeps the incremental models current.

    A model has seen all that was loaded up to one time: a view of raw tables what is in them now,
    any other model what the parent that has seen least has seen. The next build finds the keys that
    changed since then (models/intermediate/changes), deletes their rows and inserts what they are
    now. A model is built whole when it has no such time, when its rules are not those it was built
    with, or when a parent was built whole since. So whatever is built, in whatever order, a model
    that is behind knows it. `state.sql` keeps the times and the rules.
-#}

{#- Whether this model, or snapshot, only looks at what changed since it was built last. -#}
{% macro follows_changes() -%}
    {{ return(
        is_incremental()
        or (execute and model.resource_type == 'snapshot' and not is_built_whole())
    ) }}
{%- endmacro %}

{#-
    Where clause of a model that reads staging: rows loaded since. A literal, for a warehouse to
    skip all older parts.
-#}
{% macro where_loaded_since() -%}
    {%- if follows_changes() -%} where _loaded_at > {{ seen_until() }} {%- endif -%}
{%- endmacro %}

{#- Query for the keys that changed since: `order_id` is looked up in int_changed_orders. -#}
{% macro changed_keys(key) -%}
    select {{ key }} from {{ ref('int_changed_' ~ key | replace('_id', 's')) }}
    where _loaded_at > {{ seen_until() }}
{%- endmacro %}

{#- Where clause of a model that is built from others: rows whose column holds a changed key. -#}
{% macro where_changed(key, column=none) -%}
    {%- set keys = changed_keys(key) -%}  {#- always, so that dbt sees the ref -#}
    {%- if follows_changes() -%} where {{ column or key }} in ({{ keys }}) {%- endif -%}
{%- endmacro %}

{#-
    Union branch of a model that keeps a row's `parent`: a row that has another parent now stays
    behind at the one it had, marked as deleted, so that the parent it left is built again too.
    `rows` are those that were loaded since.
-#}
{% macro left_behind(rows, key, parent) -%}
    {%- if follows_changes() %}
    union all
    select known.* replace (true as is_deleted, moved._loaded_at as _loaded_at)
    from {{ this }} as known
    inner join (
        select
            before.{{ key }},
            before.{{ parent }},
            now._loaded_at
        from {{ this }} as before
        inner join {{ rows }} as now
            on before.{{ key }} = now.{{ key }}
        where before.{{ parent }} is distinct from now.{{ parent }}
    ) as moved
        on known.{{ key }} = moved.{{ key }} and known.{{ parent }} = moved.{{ parent }}
    {%- endif -%}
{%- endmacro %}

{#-
    Incremental strategy `changed_keys`: rows of changed keys go, also those that nothing is left
    of, and come as they are now.
-#}
{% macro get_incremental_changed_keys_sql(arg_dict) -%}
    {%- set target, built = arg_dict['target_relation'], arg_dict['temp_relation'] -%}
    {%- set key = arg_dict['unique_key'] -%}
    {%- set columns = get_quoted_csv(arg_dict['dest_columns'] | map(attribute='name')) -%}
    {%- set dml -%}
        delete from {{ target }}
        where {{ key }} in (select {{ key }} from {{ built }} union all {{ changed_keys(key) }});
        insert into {{ target }} ({{ columns }})
        select {{ columns }} from {{ built }}
    {%- endset -%}
    {{ return(adapter.dispatch('in_one_transaction')(dml)) }}
{%- endmacro %}

{#- dbt-duckdb opens a transaction per model; on Snowflake each statement would be its own. -#}
{% macro duckdb__in_one_transaction(dml) -%} {{ return(dml) }} {%- endmacro %}
{% macro snowflake__in_one_transaction(dml) -%}
    {{ return(snowflake_dml_explicit_transaction(dml)) }}
{%- endmacro %}
