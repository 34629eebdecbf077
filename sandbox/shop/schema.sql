-- The shop's own database, as its application made it: the source of the pipeline.

create table customers (
    customer_id serial primary key,
    email varchar(255) not null unique,
    first_name varchar(100),
    last_name varchar(100),
    phone varchar(50),
    address varchar(500),
    city varchar(100),
    state varchar(100),
    country varchar(100),
    zip_code varchar(20),
    created_at timestamp default (now() at time zone 'utc'),
    updated_at timestamp default (now() at time zone 'utc')
);

create table products (
    product_id serial primary key,
    name varchar(255) not null,
    category varchar(100),
    subcategory varchar(100),
    price numeric(10, 2) not null,
    cost numeric(10, 2),
    weight_kg numeric(8, 2),
    is_active boolean default true,
    created_at timestamp default (now() at time zone 'utc'),
    updated_at timestamp default (now() at time zone 'utc')
);

create table orders (
    order_id serial primary key,
    customer_id int references customers,
    order_date timestamp not null,
    status varchar(50) not null,
    total_amount numeric(12, 2) not null,
    shipping_address varchar(500),
    shipping_city varchar(100),
    shipping_state varchar(100),
    shipping_country varchar(100),
    shipping_zip varchar(20),
    created_at timestamp default (now() at time zone 'utc'),
    updated_at timestamp default (now() at time zone 'utc')
);

create table order_items (
    order_item_id serial primary key,
    order_id int references orders,
    product_id int references products,
    quantity int check (quantity > 0),
    unit_price numeric(10, 2) not null,
    discount_pct numeric(5, 2),
    line_total numeric(12, 2) not null,
    created_at timestamp default (now() at time zone 'utc')
);

create index customers_updated_at on customers (updated_at);
create index products_updated_at on products (updated_at);
create index orders_updated_at on orders (updated_at);
create index orders_customer on orders (customer_id);
create index order_items_created_at on order_items (created_at);
create index order_items_order on order_items (order_id);
