-- What an operator has asked of one node and another has to do: a verb, for an account that the other works. Arguments and
-- answer are sealed. Whoever asked keeps the errand until `ends_at`, by the server's clock; nobody begins it later, and
-- nobody but `node` after it was begun.

CREATE TABLE cluster_errands (
    errand text COLLATE "C" PRIMARY KEY,
    account text COLLATE "C" NOT NULL,
    verb text COLLATE "C" NOT NULL,
    asked bytea NOT NULL,
    ends_at double precision NOT NULL,
    node text COLLATE "C",
    answer bytea
);
