-- The reference platform's tables. Every row belongs to one user, and the database itself sees to
-- it: policies bind each statement to the user of its transaction, and foreign keys carry the user,
-- since a foreign key on an id alone looks past policies into other users' rows.
--
-- Policies do not bind the owner of the tables; the platform logs in as a role that owns nothing.

-- Null or empty while no user is set; no user's id is either.
create function acting_user() returns text
    language sql stable parallel safe
    return current_setting('labkit.acting_user', true);

create table users (
    id          text primary key check (id <> ''),
    created_at  timestamptz not null default now()
);

create table threads (
    id          text primary key,
    user_id     text not null references users,
    title       text not null,
    created_at  timestamptz not null default now(),
    position    bigint generated always as identity,
    unique (user_id, id)
);

create table messages (
    id          text primary key,
    user_id     text not null,
    thread_id   text not null,
    text        text not null,
    created_at  timestamptz not null default now(),
    position    bigint generated always as identity,
    unique (user_id, thread_id, id),
    constraint messages_thread foreign key (user_id, thread_id)
        references threads (user_id, id) on delete cascade
);

create table executions (
    id            text primary key,
    user_id       text not null,
    thread_id     text not null,
    message_id    text,
    status        text not null default 'active' check (
        status in ('created', 'active', 'suspended', 'completed', 'failed', 'cancelled')),
    output        jsonb,
    duration_s    double precision check (duration_s >= 0),
    tool_calls    integer check (tool_calls >= 0),
    tokens        integer check (tokens >= 0),
    created_at    timestamptz not null default now(),
    completed_at  timestamptz,
    position      bigint generated always as identity,
    constraint executions_thread foreign key (user_id, thread_id)
        references threads (user_id, id) on delete cascade,
    constraint executions_message foreign key (user_id, thread_id, message_id)
        references messages (user_id, thread_id, id),
    constraint executions_complete check (status <> 'completed' or num_nulls(
        message_id, output, duration_s, tool_calls, tokens, completed_at) = 0)
);

create table accounts (
    id       text not null check (id <> ''),
    user_id  text not null references users,
    balance  bigint not null check (balance >= 0),
    primary key (user_id, id)
);

alter table users enable row level security;
alter table threads enable row level security;
alter table messages enable row level security;
alter table executions enable row level security;
alter table accounts enable row level security;

create policy own on users
    using (id = acting_user()) with check (id = acting_user());
create policy own on threads
    using (user_id = acting_user()) with check (user_id = acting_user());
create policy own on messages
    using (user_id = acting_user()) with check (user_id = acting_user());
create policy own on executions
    using (user_id = acting_user()) with check (user_id = acting_user());
create policy own on accounts
    using (user_id = acting_user()) with check (user_id = acting_user());
