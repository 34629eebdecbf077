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
