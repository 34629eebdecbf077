{#-
    One row per key: the newest version, by the time the source gave it, then by the load that brought it. The loader upserts
    by key, so this changes nothing as long as the loader keeps its word; no warehouse enforces a key, and a doubled order
    must not become doubled revenue. Further `tie_breakers` make the choice certain where keys only meet after cleaning.
-#}
{% macro newest_version(key, version, tie_breakers=[]) -%}
    qualify row_number() over (
        partition by {{ key | join(', ') }}
        order by {{ version }} desc nulls last, _loaded_at desc
        {%- for column in tie_breakers %}, {{ column }}{% endfor %}
    ) = 1
{%- endmacro %}

{#-
    The rows of a large raw table that are not deleted, one per key: the same choice as newest_version(), but only rows whose
    key stands there twice are sorted. A key that is asked for is looked up without touching any other row.
-#}
{% macro newest_rows(relation, key, version) -%}
    select * from {{ relation }}
    where _deleted_at is null and {{ key }} not in ({{ doubled_keys(relation, key) }})
    union all
    select * from {{ relation }}
    where _deleted_at is null and {{ key }} in ({{ doubled_keys(relation, key) }})
    {{ newest_version([key], version) }}
{%- endmacro %}

{% macro doubled_keys(relation, key) -%}
    select {{ key }} from {{ relation }} where _deleted_at is null group by {{ key }} having count(*) > 1
{%- endmacro %}
