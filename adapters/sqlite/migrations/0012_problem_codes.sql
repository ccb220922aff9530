-- Why a return waits for a person, as a stable code. For returns that wait already it is read off the words.

ALTER TABLE returns ADD COLUMN problem_code TEXT;

UPDATE returns SET problem_code = CASE
    WHEN problem LIKE 'no fulfillment order holds the units%; may be%' THEN 'order-doubtful'
    WHEN problem LIKE 'no fulfillment order holds the units%' THEN 'order-not-found'
    WHEN problem LIKE 'the label request names no line%' THEN 'request-without-lines'
    WHEN problem LIKE 'the parcel starts in %' THEN 'parcel-from-abroad'
    WHEN problem LIKE 'Amazon has not made a return authorization%' THEN 'authorization-late'
    WHEN problem LIKE 'Amazon does not list what it accepted%' THEN 'authorization-gone'
    WHEN problem LIKE 'an address for the label is missing%' THEN 'address-missing'
    WHEN problem LIKE 'Amazon does not offer the return service%' THEN 'service-not-offered'
    WHEN problem LIKE 'no carrier offers a rate%' OR problem LIKE 'none of the allowed services%'
        OR problem LIKE 'the allowed services are not priced%' OR problem LIKE 'every allowed rate is above%' THEN 'no-carrier-rate'
    WHEN problem LIKE 'the day''s spending on labels%' THEN 'spending-limit'
    WHEN problem LIKE 'no label could be bought in time%' THEN 'label-late'
    WHEN problem LIKE 'the label''s document was not made%' THEN 'document-late'
    WHEN problem LIKE 'the label cannot be read%' THEN 'label-unreadable'
    WHEN problem LIKE 'the label does not lead to%' THEN 'label-leads-elsewhere'
    WHEN problem LIKE 'the EasyPost key is a test key%' THEN 'test-key'
    WHEN problem LIKE 'NO_LABEL_SOURCE%' THEN 'label-source-gone'
    WHEN problem LIKE 'ANOTHER_KEY%' THEN 'key-changed'
    WHEN problem LIKE 'an error in mcfd%' THEN 'error-in-mcfd'
    ELSE 'other' END
WHERE problem <> '';
