{#-
    What a build has to look at: the rows loaded since the last complete build, and everything that hangs on them.

    `int_build_window` says since when, per raw table; the models in intermediate/changes collect the keys; each incremental
    model builds the rows of those keys again, and `built_until` closes the build when all marts are done. Until then nothing
    is forgotten: the next try starts from the same load times and keeps the keys that the tries before have noticed.
-#}

{#-
    Load time of this raw table up to which the last complete build has seen it. A literal, because a warehouse pushes nothing
    else through the joins of a view down to the table.
-#}
{% macro changed_since(raw_table) -%}
    {%- set window = ref('int_build_window') -%}
    {%- if as_built('int_build_window') is none -%}
        {{ return('(select changed_since from ' ~ window ~ " where raw_table = '" ~ raw_table ~ "')") }}
    {%- endif -%}
    {%- set since = {} -%}
    {%- for row in of_the_build('window', 'select raw_table, changed_since from ' ~ window) -%}
        {%- do since.update({row[0]: row[1]}) -%}
    {%- endfor -%}
    {{ return("cast('" ~ since[raw_table] ~ "' as timestamp)") }}
{%- endmacro %}

{#- Rows that stay the same for all of a dbt command, asked for once: `graph` is what its models share, and the next command's. -#}
{% macro of_the_build(name, sql) -%}
    {%- set kept = name ~ ' of ' ~ invocation_id -%}
    {%- if kept not in graph -%}
        {%- do graph.update({kept: run_query(sql).rows}) -%}
    {%- endif -%}
    {{ return(graph[kept]) }}
{%- endmacro %}

{#-
    A whole build is whole from its first model to its last. The two places where that can go wrong: the one before ended half-way
    and this one would only build what changed since; the intermediate models were built whole, the marts would not be.
    `python -m transform` sees both and builds whole by itself.
-#}
{% macro refuse_half_a_full_refresh() -%}
    {%- set build_window, built_until = as_built('int_build_window'), as_built('built_until') -%}
    {%- if execute and build_window is not none and built_until is not none and not builds_everything() -%}
        {%- set unfinished = 'select count(*) from ' ~ build_window ~ ' where is_whole and build_number > '
            ~ '(select coalesce(max(build_number), 0) from ' ~ built_until ~ ')' -%}
        {%- if run_query(unfinished).rows[0][0] > 0 -%}
            {{ exceptions.raise_compiler_error('The last full refresh has not reached the end of the marts: run all of it again with --full-refresh.') }}
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}

{#- Condition for the rows of this raw table that were loaded since; for none, while every model is built whole. -#}
{% macro is_loaded_since(raw_table) -%}
    {{ '1 = 0' if builds_everything() else '_loaded_at > ' ~ changed_since(raw_table) }}
{%- endmacro %}

{#-
    The table of a model as the build before has left it, null before the first. By name and not by ref(), because in this
    build that model comes later.
-#}
{% macro as_built(model, resource_type='model') -%}
    {%- if not execute -%}
        {{ return(none) }}
    {%- endif -%}
    {%- set node = graph.nodes[resource_type ~ '.' ~ project_name ~ '.' ~ model] -%}
    {{ return(adapter.get_relation(node.database, node.schema, node.alias)) }}
{%- endmacro %}

{#- Whether there is nothing to change: every incremental model is about to be built whole. -#}
{% macro builds_everything() -%}
    {%- if not execute -%}
        {{ return(false) }}
    {%- endif -%}
    {%- if flags.FULL_REFRESH -%}
        {{ return(true) }}
    {%- endif -%}
    {%- for node in graph.nodes.values() if node.resource_type == 'model' and node.config.materialized == 'incremental' -%}
        {%- if adapter.get_relation(node.database, node.schema, node.alias) is not none -%}
            {{ return(false) }}
        {%- endif -%}
    {%- endfor -%}
    {{ return(true) }}
{%- endmacro %}

{#-
    Subquery for how many rows there are and the sum over the hashes of their keys: that takes no join, and sees one row more and
    another one less. A key and its copy have one type, or the hashes of negative numbers differ.
-#}
{% macro fingerprint(rows, key) -%}
    (select count(*) as row_count, coalesce(sum(hash({{ key }})), 0) as key_sum from {{ rows }})
{%- endmacro %}

{#-
    A raw table against one that should hold each of its keys once: whether rows were deleted, marked, doubled or lost, which
    leaves no load time behind, and how many of those loaded since repeat a key. The rows that were loaded before are held
    against those of the table that were not loaded since. The staging view and the models behind it ask for the same.
-#}
{% macro compared_to_raw(built, raw, key, since) -%}
    {%- set loaded_since = raw ~ ' where _deleted_at is null and _loaded_at > ' ~ since -%}
    {%- set loaded_before = fingerprint(raw ~ ' where _deleted_at is null and _loaded_at <= ' ~ since, key) -%}
    {%- set built_before = fingerprint(built ~ ' where ' ~ key ~ ' not in (select ' ~ key ~ ' from ' ~ loaded_since ~ ')', key) -%}
    {{ return(of_the_build(
        'keys of ' ~ raw,
        'select loaded.row_count <> built.row_count or loaded.key_sum <> built.key_sum, repeated.row_count'
        ~ ' from ' ~ loaded_before ~ ' as loaded cross join ' ~ built_before ~ ' as built'
        ~ ' cross join (select ' ~ repeated_keys(key) ~ ' as row_count from ' ~ loaded_since ~ ') as repeated'
    )[0]) }}
{%- endmacro %}

{% macro is_out_of_step(built, raw, key, since) -%}
    {{ return(execute and built is not none and compared_to_raw(built, raw, key, since)[0]) }}
{%- endmacro %}

{#- Whether a table does not hold the keys of each of others that are made of it. -#}
{% macro differ_in_keys(known, others, key) -%}
    {%- set there = others | reject('none') | list -%}
    {%- if not execute or known is none or not there -%}
        {{ return(false) }}
    {%- endif -%}
    {%- set made = [] -%}
    {%- for other in there -%}
        {%- do made.append('select * from ' ~ fingerprint(other, key) ~ ' as made') -%}
    {%- endfor -%}
    {{ return(run_query(
        'select count(*) from ' ~ fingerprint(known, key) ~ ' as known cross join (' ~ made | join(' union all ') ~ ') as made'
        ~ ' where made.row_count <> known.row_count or made.key_sum <> known.key_sum'
    ).rows[0][0] > 0) }}
{%- endmacro %}

{#- Whether a dimension lacks a version of the customers that are in one of the tables, or holds one of others. -#}
{% macro differ_in_versions(dimension, history, customers) -%}
    {%- if not execute or none in [dimension, history] + customers -%}
        {{ return(false) }}
    {%- endif -%}
    {%- set of_these = 'select customer_id from ' ~ customers | join(' union all select customer_id from ') -%}
    {%- set versions = 'select dbt_scd_id as customer_key from ' ~ history ~ ' where customer_id in (' ~ of_these ~ ')' -%}
    {{ return(differ_in_keys('(' ~ versions ~ ') as versions', [dimension], 'customer_key')) }}
{%- endmacro %}

{#- Whether a table has rows that meet a condition. -#}
{% macro has_rows(relation, condition) -%}
    {%- if not execute or adapter.get_relation(relation.database, relation.schema, relation.identifier) is none -%}
        {{ return(false) }}
    {%- endif -%}
    {{ return(run_query('select count(*) from ' ~ relation ~ ' where ' ~ condition).rows[0][0] > 0) }}
{%- endmacro %}

{#- Number of the build under way: one more than that of the last complete one. A literal for the same reason. -#}
{% macro build_number() -%}
    {%- set one_value = 'select max(build_number) from ' ~ ref('int_build_window') -%}
    {%- if as_built('int_build_window') is none -%}
        {{ return('(' ~ one_value ~ ')') }}
    {%- endif -%}
    {{ return(of_the_build('build_number', one_value)[0][0]) }}
{%- endmacro %}

{#- Union branch: what earlier tries of the same build have noticed. -#}
{% macro noticed_before(columns) -%}
    {%- if not flags.FULL_REFRESH and adapter.get_relation(this.database, this.schema, this.identifier) is not none %}
    union
    select {{ columns }} from {{ this }} where build_number = {{ build_number() }}
    {%- endif %}
{%- endmacro %}

{#- Where clause of an incremental model: what is to be built again, all of it where the model is built whole. -#}
{% macro of_changed(column, changed, key=none) -%}
    {%- if is_incremental() -%}
        where {{ column }} in (select {{ changed }}.{{ key or column }} from {{ changed }})
    {%- endif -%}
{%- endmacro %}

{#-
    Where clause of a model that follows one with a _build_number: the rows that this build has built, which lie together, at the
    end. Instead of the same rows by their keys, for which the whole table is read. A model that appends names the keys that its
    pre-hook has deleted: nothing else may be inserted, whatever else has the number.
-#}
{% macro of_this_build(key=none, changed=none) -%}
    {%- set number = build_number() -%}
    {%- if is_incremental() -%}
        where _build_number = {{ number }}
        {%- if key %} and {{ key }} in (select {{ changed }}.{{ key }} from {{ changed }}){% endif %}
    {%- endif -%}
{%- endmacro %}

{#-
    Where clause of a model that keeps a large raw table's rows cleaned: those loaded since, and those that it has lost. Of both
    only the keys that its pre-hook has deleted: a row that was loaded in the middle of this build waits for the next. Looking rows
    up by key reads all of them, so that is left out as long as none is lost, which is nearly always.
-#}
{% macro of_touched(raw_table, key, touched, condition='1 = 1') -%}
    {%- set loaded, any_is_lost = is_loaded_since(raw_table), has_rows(touched, 'is_lost') -%}
    {%- if is_incremental() -%}
        where
            {{ key }} in (select {{ key }} from {{ touched }} where {{ condition }})
            and ({{ loaded }}{% if any_is_lost %} or {{ key }} in (select {{ key }} from {{ touched }} where is_lost){% endif %})
    {%- endif -%}
{%- endmacro %}

{#- Pre-hook of an incremental model: rows of changed keys go before they are built again, so those without a source go too. -#}
{% macro delete_changed(column, changed, key=none, where='1 = 1') -%}
    {%- if is_incremental() -%}
        delete from {{ this }} where {{ column }} in (select {{ key or column }} from {{ changed }} where {{ where }})
    {%- endif -%}
{%- endmacro %}

{#- Pre-hook of a merged model, which deletes nothing by itself: of the changed keys, those that nothing is left of. -#}
{% macro delete_gone(key, changed, source) -%}
    {%- if is_incremental() -%}
        delete from {{ this }}
        where
            {{ key }} in (
                select changed.{{ key }}
                from {{ changed }} as changed
                where not exists (select 1 from {{ source }} as source where source.{{ key }} = changed.{{ key }})
            )
    {%- endif -%}
{%- endmacro %}

{#-
    How a fact takes in the rows that were built again: by MERGE. DuckDB updates a row in place, column by column, and then writes
    every row group anew that has one: deleting and inserting the same rows took a tenth of the time.
-#}
{% macro upsert() -%}
    {{ return('delete+insert' if target.type == 'duckdb' else 'merge') }}
{%- endmacro %}
