-- Lists by shop and age touch no more returns than they show, however many there are.

CREATE INDEX returns_by_shop ON returns (shop);
CREATE INDEX returns_by_shop_and_state ON returns (shop, state);
CREATE INDEX returns_by_hearing ON returns (created_at);
