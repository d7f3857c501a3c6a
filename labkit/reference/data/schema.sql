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
    version     bigint not null default 1,
    created_at  timestamptz not null default now(),
    position    bigint generated always as identity,
    unique (user_id, id)
);

create table messages (
    id          text primary key,
    user_id     text not null,
    thread_id   text not null,
    role        text not null default 'user' check (
        role in ('user', 'assistant', 'tool_call', 'tool_result')),
    text        text not null,
    call_id     text check (num_nulls(call_id) = (role not in ('tool_call', 'tool_result'))::int),
    request_id  text,
    created_at  timestamptz not null default now(),
    position    bigint generated always as identity,
    unique (user_id, thread_id, id),
    unique (user_id, request_id),
    constraint messages_thread foreign key (user_id, thread_id)
        references threads (user_id, id) on delete cascade
);

create table executions (
    id            text primary key,
    user_id       text not null,
    thread_id     text not null,
    message_id    text,
    request_id    text,
    agent         text not null default '',
    input         text not null default '',
    status        text not null default 'created' check (
        status in ('created', 'active', 'suspended', 'completed', 'failed', 'cancelled')),
    owner         bigint,
    next_seq      integer not null default 0,
    error_kind    text,
    error_text    text,
    output        jsonb,
    duration_s    double precision check (duration_s >= 0),
    tool_calls    integer check (tool_calls >= 0),
    tokens        integer check (tokens >= 0),
    created_at    timestamptz not null default now(),
    completed_at  timestamptz,
    position      bigint generated always as identity,
    unique (user_id, id),
    unique (user_id, request_id),
    constraint executions_thread foreign key (user_id, thread_id)
        references threads (user_id, id) on delete cascade,
    constraint executions_message foreign key (user_id, thread_id, message_id)
        references messages (user_id, thread_id, id),
    constraint executions_complete check (status <> 'completed' or num_nulls(
        output, duration_s, tool_calls, tokens, completed_at) = 0),
    constraint executions_failed check ((status = 'failed') = (error_kind is not null))
);

-- The history of an execution's states, written by the trigger below alone.
create table execution_states (
    execution_id  text not null,
    user_id       text not null,
    state         text not null,
    at            timestamptz not null default clock_timestamp(),
    position      bigint generated always as identity,
    constraint execution_states_execution foreign key (user_id, execution_id)
        references executions (user_id, id) on delete cascade
);

create table tool_calls (
    id            text not null,
    execution_id  text not null,
    user_id       text not null,
    name          text not null,
    argument      text not null,
    result        text,
    status        text not null default 'executing' check (
        status in ('executing', 'completed', 'failed')),
    started_at    timestamptz not null default clock_timestamp(),
    ended_at      timestamptz,
    primary key (user_id, id),
    constraint tool_calls_execution foreign key (user_id, execution_id)
        references executions (user_id, id) on delete cascade
);

-- What tools write for their user.
create table notes (
    id         text primary key,
    user_id    text not null,
    thread_id  text not null,
    text       text not null,
    position   bigint generated always as identity,
    constraint notes_thread foreign key (user_id, thread_id)
        references threads (user_id, id) on delete cascade
);

-- Where a message is on its way through the platform; `message_id` is the sender's own.
create table stages (
    message_id  text not null,
    user_id     text not null references users,
    stage       text not null,
    at          timestamptz not null default clock_timestamp(),
    primary key (user_id, message_id, stage)
);

create table sessions (
    id          text primary key,
    user_id     text not null references users,
    started_at  timestamptz not null default now(),
    expires_at  timestamptz not null,
    revoked_at  timestamptz,
    ended_at    timestamptz
);

-- Events that were committed with what they tell of, and have not been published yet.
create table outbox (
    position    bigint generated always as identity primary key,
    user_id     text not null,
    run_id      text,
    message_id  text,
    event       jsonb not null
);

create table accounts (
    id       text not null check (id <> ''),
    user_id  text not null references users,
    balance  bigint not null check (balance >= 0),
    primary key (user_id, id)
);

-- Settings that were changed at run time, by environment: a stack of updates, of which the newest
-- value of a key is in force. Secrets stand in the values as they are; in the history they are masked.
create table setting_updates (
    id           bigint generated always as identity primary key,
    environment  text not null
);

create table setting_values (
    update_id  bigint not null references setting_updates on delete cascade,
    key        text not null,
    value      jsonb not null,
    primary key (update_id, key)
);

create table setting_history (
    position     bigint generated always as identity primary key,
    environment  text not null,
    key          text not null,
    who          text not null check (who <> ''),
    at           timestamptz not null default clock_timestamp(),
    before       jsonb,
    after        jsonb
);

-- The life of an execution: nine transitions, and no other way into the table than at its beginning.
create function follows(before text, after text) returns boolean
    language sql immutable parallel safe
    return (before, after) in (
        ('created', 'active'), ('created', 'cancelled'),
        ('active', 'suspended'), ('active', 'completed'), ('active', 'failed'),
        ('active', 'cancelled'),
        ('suspended', 'active'), ('suspended', 'failed'), ('suspended', 'cancelled'));

create function keep_to_the_states() returns trigger language plpgsql as $$
begin
    if tg_op = 'INSERT' and new.status <> 'created' then
        raise exception 'execution % cannot begin as %', new.id, new.status
            using errcode = 'check_violation';
    elsif tg_op = 'UPDATE' and not follows(old.status, new.status) then
        raise exception 'execution % cannot go from % to %', old.id, old.status, new.status
            using errcode = 'check_violation';
    end if;
    return new;
end $$;

create function note_the_state() returns trigger language plpgsql as $$
begin
    insert into execution_states (execution_id, user_id, state)
    values (new.id, new.user_id, new.status);
    return null;
end $$;

create trigger keep_to_the_states before insert or update of status on executions
    for each row execute function keep_to_the_states();
create trigger note_the_state after insert or update of status on executions
    for each row execute function note_the_state();

-- Every change of a thread counts, whoever makes it: what was cached of it can be told from newer.
create function count_the_change() returns trigger language plpgsql as $$
begin
    new.version := old.version + 1;
    return new;
end $$;

create trigger count_the_change before update on threads
    for each row execute function count_the_change();

create function call_the_relay() returns trigger language plpgsql as $$
begin
    perform pg_notify('outbox', '');
    return null;
end $$;

create trigger call_the_relay after insert on outbox
    for each statement execute function call_the_relay();

alter table users enable row level security;
alter table threads enable row level security;
alter table messages enable row level security;
alter table executions enable row level security;
alter table accounts enable row level security;
alter table execution_states enable row level security;
alter table tool_calls enable row level security;
alter table notes enable row level security;
alter table stages enable row level security;
alter table sessions enable row level security;
alter table outbox enable row level security;
alter table setting_updates enable row level security;
alter table setting_values enable row level security;
alter table setting_history enable row level security;

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
create policy own on execution_states
    using (user_id = acting_user()) with check (user_id = acting_user());
create policy own on tool_calls
    using (user_id = acting_user()) with check (user_id = acting_user());
create policy own on notes
    using (user_id = acting_user()) with check (user_id = acting_user());
create policy own on stages
    using (user_id = acting_user()) with check (user_id = acting_user());
create policy own on sessions
    using (user_id = acting_user()) with check (user_id = acting_user());
-- Whoever writes puts into the outbox, and sees what of it has not left; only the relay, which says
-- that it is, takes out of it.
create policy put on outbox for insert with check (user_id = acting_user());
create policy see on outbox for select using (user_id = acting_user());
create policy relay on outbox
    using (current_setting('labkit.relay', true) = 'on') with check (false);
-- Nothing that acts for a user sees settings; only what says that it works with them does.
create policy services on setting_updates using (current_setting('labkit.settings', true) = 'on');
create policy services on setting_values using (current_setting('labkit.settings', true) = 'on');
create policy services on setting_history using (current_setting('labkit.settings', true) = 'on');
