{#- Fails with each row that has no value in one of the columns: one scan instead of a test for each. -#}
{% test never_null(model, columns) %}

select *
from {{ model }}
where {{ columns | join(' is null or ') }} is null

{% endtest %}
