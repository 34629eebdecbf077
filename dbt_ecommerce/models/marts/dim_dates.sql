{#-
    US federal holidays of 5 U.S.C. 6103: some on a date, the others on the nth weekday of a month;
    Juneteenth since 2021.
-#}
{%- set first_date = "cast('" ~ var('first_calendar_year') ~ "-01-01' as date)" -%}
{%- set last_date = "cast('" ~ var('last_calendar_year') ~ "-12-31' as date)" -%}
{%- set fixed_holidays = [
    ("New Year's Day", 1, 1, 0),
    ('Juneteenth', 6, 19, 2021),
    ('Independence Day', 7, 4, 0),
    ('Veterans Day', 11, 11, 0),
    ('Christmas Day', 12, 25, 0),
] -%}
{%- set floating_holidays = [
    ('Martin Luther King Jr. Day', 1, 1, 15),
    ("Washington's Birthday", 2, 1, 15),
    ('Memorial Day', 5, 1, 25),
    ('Labor Day', 9, 1, 1),
    ('Columbus Day', 10, 1, 8),
    ('Thanksgiving Day', 11, 4, 22),
] -%}
{%- set weekdays = [
    'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday', 'Sunday',
] -%}
{%- set months = [
    'January', 'February', 'March', 'April', 'May', 'June',
    'July', 'August', 'September', 'October', 'November', 'December',
] -%}

with

digits as (

    {% for digit in range(10) -%}
    select {{ digit }} as digit
    {%- if not loop.last %} union all {% endif %}
    {% endfor %}

),

numbers as (

    select
        ones.digit
        + 10 * tens.digit
        + 100 * hundreds.digit
        + 1000 * thousands.digit
        + 10000 * ten_thousands.digit as number
    from digits as ones
    cross join digits as tens
    cross join digits as hundreds
    cross join digits as thousands
    cross join digits as ten_thousands

),

-- one day more at the end: its New Year's Day can be observed on the last day
days as (

    select
        cast({{ dbt.dateadd('day', 'number', first_date) }} as date) as date_day
    from numbers
    where number <= {{ dbt.datediff(first_date, last_date, 'day') }} + 1

),

parts as (

    select
        date_day,
        cast(extract(year from date_day) as integer) as year_number,
        cast(extract(quarter from date_day) as integer) as quarter_of_year,
        cast(extract(month from date_day) as integer) as month_of_year,
        cast(extract(day from date_day) as integer) as day_of_month,
        cast(extract(doy from date_day) as integer) as day_of_year,
        {{ iso_day_of_week('date_day') }} as day_of_week,
        {{ iso_week('date_day') }} as iso_week,
        {{ iso_year('date_day') }} as iso_year
    from days

),

holidays as (

    select
        *,
        case
            {%- for name, month, day, since in fixed_holidays %}
            when
                month_of_year = {{ month }}
                and day_of_month = {{ day }}
                and year_number >= {{ since }}
                then '{{ name | replace("'", "''") }}'
            {%- endfor %}
            {%- for name, month, weekday, first_day in floating_holidays %}
            when
                month_of_year = {{ month }} and day_of_week = {{ weekday }}
                and day_of_month between {{ first_day }} and {{ first_day + 6 }}
                then '{{ name | replace("'", "''") }}'
            {%- endfor %}
        end as holiday_name
    from parts

),

-- a holiday on a Saturday is a day off on the Friday before, one on a Sunday on the Monday after
observed as (

    select
        *,
        case
            when day_of_week between 1 and 5 and holiday_name is not null then holiday_name
            when day_of_week = 5 then lead(holiday_name) over (order by date_day)
            when day_of_week = 1 then lag(holiday_name) over (order by date_day)
        end as observed_holiday_name
    from holidays

),

fiscal as (

    select
        *,
        case when month_of_year >= 2 then year_number else year_number - 1 end as fiscal_year,
        mod(month_of_year + 10, 12) + 1 as fiscal_month
    from observed

),

final as (

    select
        ---------- ids
        date_day,

        ---------- calendar
        year_number,
        quarter_of_year,
        month_of_year,
        day_of_month,
        day_of_year,
        day_of_week,
        case month_of_year
            {%- for name in months %}
            when {{ loop.index }} then '{{ name }}'
            {%- endfor %}
        end as month_name,
        case day_of_week
            {%- for name in weekdays %}
            when {{ loop.index }} then '{{ name }}'
            {%- endfor %}
        end as day_name,
        cast(date_trunc('month', date_day) as date) as first_day_of_month,
        cast({{ dbt.last_day('date_day', 'month') }} as date) as last_day_of_month,

        ---------- ISO weeks
        iso_year,
        iso_week,
        iso_year || '-W' || lpad(cast(iso_week as varchar), 2, '0') as iso_week_label,

        ---------- fiscal calendar
        cast(fiscal_year as integer) as fiscal_year,
        cast(floor((fiscal_month - 1) / 3) + 1 as integer) as fiscal_quarter,
        cast(fiscal_month as integer) as fiscal_month,

        ---------- holidays
        holiday_name,
        observed_holiday_name,

        ---------- booleans
        day_of_week >= 6 as is_weekend,
        holiday_name is not null as is_holiday,
        observed_holiday_name is not null as is_observed_holiday,
        day_of_week <= 5 and observed_holiday_name is null as is_business_day
    from fiscal
    where year_number <= {{ var('last_calendar_year') }}

)

select * from final
