-- A tag is noted as the rule's before it is put: a process that ends in between does not know whether it was.
-- NULL: the digest was put. Otherwise it was only begun to be put, over this earlier one of the rule, or over none (empty).
ALTER TABLE delivery ADD COLUMN over_digest TEXT;
