-- Curated lists of plugins: of an organisation, or, where that is null, for everybody on the site.
CREATE TABLE market_collections (
    id BIGINT NOT NULL,
    organization_id BIGINT,
    name TEXT NOT NULL,
    name_key TEXT NOT NULL,
    description TEXT NOT NULL,
    -- Slugs in their order, as JSON.
    plugins TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    CONSTRAINT pk_market_collections PRIMARY KEY (id),
    CONSTRAINT fk_market_collections_organization_id FOREIGN KEY (organization_id)
        REFERENCES organizations (id) ON DELETE CASCADE
);
CREATE UNIQUE INDEX uq_market_collections_name_key ON market_collections (name_key) WHERE organization_id IS NULL;
CREATE UNIQUE INDEX uq_market_collections_organization_id_name_key ON market_collections (organization_id, name_key)
    WHERE organization_id IS NOT NULL;
