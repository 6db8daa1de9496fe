-- The words of each plugin, to search for by their beginnings: they are ordered by their bytes, not by a language.
CREATE TABLE market_words (
    word TEXT COLLATE "C" NOT NULL,
    slug TEXT NOT NULL,
    weight BIGINT NOT NULL,
    CONSTRAINT pk_market_words PRIMARY KEY (word, slug),
    CONSTRAINT fk_market_words_slug FOREIGN KEY (slug) REFERENCES market_plugins (slug) ON DELETE CASCADE
);
CREATE INDEX ix_market_words_slug ON market_words (slug);
