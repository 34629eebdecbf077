{#-
    How dbt writes models on DuckDB: in place, in one transaction, as it does on Snowflake. dbt-duckdb's own materializations build
    beside, ask for indexes and foreign keys, rename twice and drop, which is ten statements for a view; a build of small changes
    is made of little else (docs/benchmarks.md). Nobody reads the file while dbt writes it, and a failing statement is rolled back.
-#}

{% materialization view, adapter='duckdb' %}
    {%- set target = this.incorporate(type='view') -%}

    {% call replaced(target) %}{{ get_create_view_as_sql(target, compiled_code) }}{% endcall %}
    {{ return({'relations': [target]}) }}
{% endmaterialization %}

{% materialization table, adapter='duckdb' %}
    {%- set target = this.incorporate(type='table') -%}

    {% call replaced(target) %}{{ create_table_as(False, target, compiled_code) }}{% endcall %}
    {{ return({'relations': [target]}) }}
{% endmaterialization %}

{#-
    Two strategies: append, and delete+insert by one key. Columns are matched by name: one that the table lacks is an error that
    says so (`python -m transform` builds whole after a change of the SQL), not a column that is null in all older rows.
-#}
{% materialization incremental, adapter='duckdb' %}
    {%- set existing, target = load_cached_relation(this), this.incorporate(type='table') -%}
    {%- set is_whole = existing is none or not existing.is_table or should_full_refresh() -%}
    {%- set key = config.get('unique_key') -%}
    {%- if config.get('incremental_strategy') not in ('append', 'delete+insert') -%}
        {% do exceptions.raise_compiler_error("On DuckDB an incremental model appends, or deletes and inserts.") %}
    {%- endif -%}

    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}
    {% if is_whole %}
        {% do drop_other_than(target) %}
        {% call statement('main') %}
            {{ create_table_as(False, target, compiled_code) }}
        {% endcall %}
    {% elif config.get('incremental_strategy') == 'append' %}
        {% if config.get('contract').enforced %}{{ get_assert_columns_equivalent(compiled_code) }}{% endif %}
        {% call statement('main') %}
            insert into {{ target }} by name (
                {{ compiled_code }}
            )
        {% endcall %}
    {% else %}
        {%- set built = make_temp_relation(target) -%}
        {% do run_query(create_table_as(True, built, compiled_code)) %}
        {% call statement('main') %}
            delete from {{ target }} where {{ key }} in (select {{ key }} from {{ built }});
            insert into {{ target }} by name (select * from {{ built }});
            drop table {{ built }}
        {% endcall %}
    {% endif %}
    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {% do adapter.commit() %}
    {{ run_hooks(post_hooks, inside_transaction=False) }}

    {{ return({'relations': [target]}) }}
{% endmaterialization %}

{#- Run the statement of the caller, which replaces the whole model, between the model's hooks. -#}
{% macro replaced(target) -%}
    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}
    {% do drop_other_than(target) %}
    {% set replacing = caller() %}
    {% call statement('main') %}
        {{ replacing }}
    {% endcall %}
    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {% do adapter.commit() %}
    {{ run_hooks(post_hooks, inside_transaction=False) }}
{%- endmacro %}

{#- A model that was a view and is a table now, or the other way round: one cannot replace the other. -#}
{% macro drop_other_than(target) -%}
    {%- set existing = load_cached_relation(this) -%}
    {%- if existing is not none and existing.type != target.type -%}{%- do adapter.drop_relation(existing) -%}{%- endif -%}
{%- endmacro %}

{% macro duckdb__create_view_as(relation, sql) -%}
    {%- if config.get('contract').enforced -%}{{ get_assert_columns_equivalent(sql) }}{%- endif %}
    create or replace view {{ relation }} as (
        {{ sql }}
    )
{%- endmacro %}

{% macro duckdb__create_table_as(temporary, relation, compiled_code, language='sql', partitioned_by=none, sorted_by=none) -%}
    {%- set contract = config.get('contract') -%}
    {%- if contract.enforced -%}{{ get_assert_columns_equivalent(compiled_code) }}{%- endif %}
    {%- if temporary %}
    create temporary table {{ relation.include(database=false, schema=false) }} as (
        {{ compiled_code }}
    )
    {%- elif contract.enforced %}
    create or replace table {{ relation }} {{ get_table_columns_and_constraints() }};
    insert into {{ relation }} {{ get_column_names() }} (
        {{ get_select_subquery(compiled_code) }}
    )
    {%- else %}
    create or replace table {{ relation }} as (
        {{ compiled_code }}
    )
    {%- endif %}
{%- endmacro %}

{#- dbt hands over the name of the database in quotes; dbt-duckdb compares it as it comes, finds no schema and creates all of them. -#}
{% macro duckdb__list_schemas(database) -%}
    {{ return(run_query(
        "select schema_name from system.information_schema.schemata where lower(catalog_name) = '"
        ~ database | replace('"', '') | lower ~ "'"
    )) }}
{%- endmacro %}

{#-
    dbt holds the rows of a snapshot's query against all current versions. Only those of the same keys can tell it anything, as
    long as it does not look for keys that the query lacks.
-#}
{% macro duckdb__snapshot_staging_table(strategy, source_sql, target_relation) -%}
    {%- set key = strategy.unique_key -%}
    {%- set versions = target_relation -%}
    {%- if strategy.hard_deletes == 'ignore' and key is string -%}
        {%- set versions = '(select * from ' ~ target_relation ~ ' where ' ~ key ~ ' in (select ' ~ key ~ ' from snapshot_query))' -%}
    {%- endif -%}
    {{ default__snapshot_staging_table(strategy, source_sql, versions) }}
{%- endmacro %}
