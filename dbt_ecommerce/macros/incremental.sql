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

{#- Post-hook of an incremental model: a merge never deletes, so rows that the source no longer has go here. -#}
{% macro delete_vanished(key, relation) -%}
    {%- if is_incremental() -%}
        delete from {{ this }} where {{ key }} not in (select {{ key }} from {{ relation }})
    {%- endif -%}
{%- endmacro %}
