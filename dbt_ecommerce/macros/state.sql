{#-
    What dbt has built, one row per seed, model and snapshot in a table of each database that dbt
    writes to (`build_state`):
    - rules: hash of the rules it was built with; that of a table includes the generations of its
      parents.
    - generation: changes whenever it was built whole, or for a view and a plain table, whenever its
      rules or its parents' do.
    - seen_until: the load time up to which it holds everything that was loaded.
    A row is written after its model, in the same transaction or later: it never says more than is
    true.
-#}

{% macro state_table(database) -%}
    {%- set schema = 'staging' if 'staging' in database | lower else 'intermediate' -%}
    {{ return(api.Relation.create(
        database=database,
        schema=generate_schema_name(schema, none) | trim,
        identifier='build_state',
        type='table',
    )) }}
{%- endmacro %}

{% macro state_tables() -%}
    {%- set kinds, tables = ['seed', 'model', 'snapshot'], [] -%}
    {%- set built = graph.nodes.values() | selectattr('resource_type', 'in', kinds) -%}
    {%- for database in built | map(attribute='database') | unique -%}
        {%- do tables.append(state_table(database)) -%}
    {%- endfor -%}
    {{ return(tables) }}
{%- endmacro %}

{#-
    Before a command: the tables have to be there before threads write to them. DuckDB writes to one
    database in a transaction.
-#}
{% macro create_state_tables() -%}
    {%- if execute and flags.WHICH in ('build', 'run', 'seed', 'snapshot') -%}
        {%- for table in state_tables() if load_relation(table) is none -%}
            {%- if not adapter.check_schema_exists(table.database, table.schema) -%}
                {%- do adapter.create_schema(table) -%}
            {%- endif -%}
            {%- call statement('create', auto_begin=target.type == 'duckdb') -%}
                create table if not exists {{ table }} (
                    node varchar, rules varchar, generation varchar, seen_until varchar
                )
            {%- endcall -%}
            {%- if target.type == 'duckdb' -%} {%- do adapter.commit() -%} {%- endif -%}
        {%- endfor -%}
    {%- endif -%}
{%- endmacro %}

{#- Ask once per dbt command: `graph` is what all of its models share. -#}
{% macro built_nodes() -%}
    {%- if not graph.nodes -%}
        {{ return({}) }}  {#- a unit test: nothing is built -#}
    {%- endif -%}
    {%- set kept = 'built nodes of ' ~ invocation_id -%}
    {%- if kept not in graph -%}
        {%- set found = {} -%}
        {%- for table in state_tables() if load_relation(table) is not none -%}
            {%- set names = ['rules', 'generation', 'seen_until'] -%}
            {%- set rows = 'select node, ' ~ names | join(', ') ~ ' from ' ~ table -%}
            {%- for row in run_query(rows).rows -%}
                {%- do found.update({row[0]: dict(zip(names, row.values()[1:]))}) -%}
            {%- endfor -%}
        {%- endfor -%}
        {%- do graph.setdefault(kept, found) -%}
    {%- endif -%}
    {{ return(graph[kept]) }}
{%- endmacro %}

{#- Newest load time in raw. Load times only grow, so whatever commits later is newer. -#}
{% macro newest_load() -%}
    {%- set kept = 'newest load of ' ~ invocation_id -%}
    {%- if kept not in graph -%}
        {%- set times = [] -%}
        {%- for source in graph.sources.values() if source.config.meta.load -%}
            {%- set place = (source.database, source.schema, source.identifier) -%}
            {%- if adapter.get_relation(*place) is not none -%}
                {%- set name = source.relation_name -%}
                {%- do times.append('select max(_loaded_at) as loaded_at from ' ~ name) -%}
            {%- endif -%}
        {%- endfor -%}
        {%- set newest = none -%}
        {%- if times -%}
            {%- set loads = '(' ~ times | join(' union all ') ~ ') as loads' -%}
            {%- set newest = run_query('select max(loaded_at) from ' ~ loads).rows[0][0] -%}
        {%- endif -%}
        {%- set text = newest.strftime('%Y-%m-%d %H:%M:%S.%f') if newest else '1970-01-01' -%}
        {%- do graph.setdefault(kept, text) -%}
    {%- endif -%}
    {{ return(graph[kept]) }}
{%- endmacro %}

{#- Generation of a node, and the load time it has seen: a view holds what its parents hold now. -#}
{% macro what_is_built(unique_id) -%}
    {%- if unique_id.startswith('source.') -%}
        {{ return({'generation': '', 'seen_until': newest_load()}) }}
    {%- endif -%}
    {%- set node, built = graph.nodes[unique_id], built_nodes().get(unique_id, {}) -%}
    {%- if node.config.materialized == 'seed' -%}
        {{ return({'generation': built.rules, 'seen_until': newest_load()}) }}
    {%- elif node.config.materialized == 'view' -%}
        {%- set parents = what_parents_are(node) -%}
        {{ return({
            'generation': local_md5(built.rules ~ parents.generation),
            'seen_until': parents.seen_until,
        }) }}
    {%- endif -%}
    {{ return({'generation': built.generation, 'seen_until': built.seen_until or '1970-01-01'}) }}
{%- endmacro %}

{% macro what_parents_are(node) -%}
    {%- set generations, seen = [], [newest_load()] -%}
    {%- for unique_id in node.depends_on.nodes -%}
        {%- set parent = what_is_built(unique_id) -%}
        {%- do generations.append(unique_id ~ parent.generation) -%}
        {%- do seen.append(parent.seen_until) -%}
    {%- endfor -%}
    {{ return({'generation': local_md5(generations | join), 'seen_until': seen | min}) }}
{%- endmacro %}

{#-
    Hash of what decides about a node's rows: its file, its columns' types, the project's macros and
    the variables they name.
-#}
{% macro rules_of(node) -%}
    {%- set types = node.columns.values() | map(attribute='data_type') | join(',') -%}
    {%- set texts = [node.checksum.checksum, types] -%}
    {%- set code = [node.raw_code or ''] -%}
    {%- for name, macro in context[project_name].items() if not name.startswith('test_') -%}
        {%- do code.append(macro.macro.macro_sql) -%}
    {%- endfor -%}
    {%- for name in modules.re.findall('\\bvar\\([\'"](\\w+)', code | join) | unique | sort -%}
        {%- do texts.append(name ~ var(name)) -%}
    {%- endfor -%}
    {{ return(local_md5((texts + code) | join('|'))) }}
{%- endmacro %}

{#- The row of this node's state, were it built now. -#}
{% macro state_of_this(is_whole) -%}
    {%- set node, before = graph.nodes[model.unique_id], built_nodes().get(model.unique_id, {}) -%}
    {%- set parents, rules = what_parents_are(node), rules_of(node) -%}
    {%- set is_table = node.config.materialized not in ('seed', 'view') -%}
    {%- set rules = local_md5(rules ~ parents.generation) if is_table else rules -%}
    {%- set generation = rules -%}
    {%- if node.config.materialized in ('incremental', 'snapshot') -%}
        {%- set generation = invocation_id if is_whole else before.generation -%}
    {%- endif -%}
    {{ return({
        'rules': rules,
        'generation': generation,
        'seen_until': parents.seen_until if is_table else '',
    }) }}
{%- endmacro %}

{#- Decided once per command, before the model is built. -#}
{% macro is_built_whole() -%}
    {%- set kept = model.unique_id ~ ' of ' ~ invocation_id -%}
    {%- if kept not in graph -%}
        {%- set before, now = built_nodes().get(model.unique_id, {}), state_of_this(false) -%}
        {%- set is_known = load_relation(this) is not none and before.rules == now.rules -%}
        {%- do graph.setdefault(kept, flags.FULL_REFRESH or not is_known) -%}
    {%- endif -%}
    {{ return(graph[kept]) }}
{%- endmacro %}

{#- Takes the place of dbt's own: a changed rule is a reason for a full refresh too. -#}
{% macro should_full_refresh() -%}
    {%- if execute and model.config.materialized == 'incremental' -%}
        {{ return(is_built_whole()) }}
    {%- endif -%}
    {{ return(flags.FULL_REFRESH) }}
{%- endmacro %}

{#- The load time up to which this node had seen everything before this build. -#}
{% macro seen_until() -%}
    {%- set before = built_nodes().get(model.unique_id, {}) if execute else {} -%}
    cast('{{ before.seen_until or "1970-01-01" }}' as timestamp)
{%- endmacro %}

{#- For tests that compare a mart with raw: what was loaded later is not in it yet. -#}
{% macro seen_by(name) -%}
    {%- set node = 'model.' ~ project_name ~ '.' ~ name -%}
    {%- set built = built_nodes().get(node, {}) if execute else {} -%}
    cast('{{ built.seen_until or "1970-01-01" }}' as timestamp)
{%- endmacro %}

{#- Post-hook of every seed, model and snapshot. -#}
{% macro record_build() -%}
    {%- if execute -%}
        {%- set node, before = model.unique_id, built_nodes().get(model.unique_id) -%}
        {%- set keeps_rows = model.config.materialized in ('incremental', 'snapshot') -%}
        {%- set now = state_of_this(keeps_rows and is_built_whole()) -%}
        {%- if now != before -%}
            {%- do built_nodes().update({node: now}) %}
    merge into {{ state_table(this.database) }} as known
    using (
        select
            '{{ node }}' as node,
            '{{ now.rules }}' as rules,
            '{{ now.generation }}' as generation,
            '{{ now.seen_until }}' as seen_until
    ) as built
        on known.node = built.node
    when matched then update set
        rules = built.rules, generation = built.generation, seen_until = built.seen_until
    when not matched then insert (node, rules, generation, seen_until)
        values (built.node, built.rules, built.generation, built.seen_until)
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}
