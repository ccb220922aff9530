-- Which of several nodes works an account, until when, and by which acquisition. The index over the token is what makes a
-- change of it wait for all transactions that have proven the old one (FOR KEY SHARE). Times are the server's.

CREATE TABLE cluster_leases (
    account text COLLATE "C" PRIMARY KEY,
    token text COLLATE "C" NOT NULL,
    node text COLLATE "C" NOT NULL,
    ends_at double precision NOT NULL,
    handed_over bigint NOT NULL CHECK (handed_over IN (0, 1))
);
CREATE UNIQUE INDEX cluster_leases_by_token ON cluster_leases (account, token);

CREATE TABLE cluster_nodes (
    node text COLLATE "C" PRIMARY KEY,
    ends_at double precision NOT NULL
);
