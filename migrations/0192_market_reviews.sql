-- What people who have a plugin say of it, one review a person. A review outlives the plugin's place in the catalogue.
CREATE TABLE market_reviews (
    id BIGINT NOT NULL,
    slug TEXT NOT NULL,
    user_id BIGINT NOT NULL,
    -- The version that was installed when it was written last.
    version TEXT NOT NULL,
    rating BIGINT NOT NULL,
    text TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    CONSTRAINT pk_market_reviews PRIMARY KEY (id),
    CONSTRAINT uq_market_reviews_slug_user_id UNIQUE (slug, user_id),
    CONSTRAINT ck_market_reviews_rating CHECK (rating BETWEEN 1 AND 5),
    CONSTRAINT fk_market_reviews_user_id FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE
);
CREATE INDEX ix_market_reviews_user_id ON market_reviews (user_id);

-- Who found a review helpful.
CREATE TABLE market_votes (
    review_id BIGINT NOT NULL,
    user_id BIGINT NOT NULL,
    voted_at BIGINT NOT NULL,
    CONSTRAINT pk_market_votes PRIMARY KEY (review_id, user_id),
    CONSTRAINT fk_market_votes_review_id FOREIGN KEY (review_id) REFERENCES market_reviews (id) ON DELETE CASCADE,
    CONSTRAINT fk_market_votes_user_id FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE
);
CREATE INDEX ix_market_votes_user_id ON market_votes (user_id);
