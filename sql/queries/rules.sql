-- name: mirror_rules
-- The rules of the file as they are now, and no others.
WITH given AS (
    SELECT name, definition, digest
    FROM unnest(%(name)s::text[], %(definition)s::jsonb[], %(digest)s::text[]) AS t (name, definition, digest)
), gone AS (
    DELETE FROM rules WHERE origin = 'file' AND name NOT IN (SELECT name FROM given)
)
INSERT INTO rules AS known (name, origin, definition, digest)
SELECT name, 'file', definition, digest FROM given ORDER BY name
ON CONFLICT (name, origin) DO UPDATE SET
    definition = excluded.definition, digest = excluded.digest, updated_at = excluded.updated_at
WHERE (known.definition, known.digest) IS DISTINCT FROM (excluded.definition, excluded.digest);

-- name: api_rules
-- The rules that the API made.
SELECT name, definition::text FROM rules WHERE origin = 'api' ORDER BY name COLLATE "C";

-- name: rules_version
-- Something that is another as soon as the API has made, changed or deleted a rule; whether a rule is good has no part.
SELECT count(*), sum(hashtextextended(ROW(name, definition)::text, 0)) FROM rules WHERE origin = 'api';

-- name: api_rule_failed
-- Why a rule that the API made is not used; NULL: it is.
UPDATE rules SET error = %(error)s
WHERE name = %(name)s AND origin = 'api' AND error IS DISTINCT FROM %(error)s;
