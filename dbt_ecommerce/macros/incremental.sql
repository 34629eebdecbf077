{#-
    Where clause of an incremental model: keeps the rows of `new` that `known` (the model as it stands, left-joined) does not
    have, or has otherwise. `columns` start with _loaded_at, the newest load among all the parts a row is made of, so a late
    change of any part rebuilds its row, however old the order is. The counts and flags beside it catch what no load time
    shows: a part that was deleted, or moved to another row.
-#}
{% macro is_new_or_changed(new, known, key, columns) -%}
    {{ known }}.{{ key }} is null
    {%- for column in columns %}
    or {{ new }}.{{ column }} is distinct from {{ known }}.{{ column }}
    {%- endfor %}
{%- endmacro %}

{#-
    Post-hook of an incremental model: no strategy deletes, so rows that the source no longer has go here. By now the model has
    every key of the source, so it has others too only if it has more of them: counting is cheap, comparing all keys is not.
-#}
{% macro delete_vanished(key, relation, condition='true') -%}
    {%- if is_incremental() and execute -%}
        {%- set counted = run_query(
            'select (select count(*) from ' ~ this ~ ') as known, '
            ~ '(select count(distinct ' ~ key ~ ') from ' ~ relation ~ ' where ' ~ condition ~ ') as wanted'
        ) -%}
        {%- if counted.rows[0][0] != counted.rows[0][1] -%}
            delete from {{ this }} where {{ key }} not in (select {{ key }} from {{ relation }} where {{ condition }})
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}
