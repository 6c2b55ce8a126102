"""The sentence for each broken rule, unless the schema has its own.

The vendor documents no such texts; these are this engine's choice.
"""

TYPE_MESSAGES = {
    "number": "This is not a number.",
    "number-size": "This number is too large.",
    "min": "This number is smaller than {min}.",
    "max": "This number is larger than {max}.",
    "date": "This is not a date.",
    "datetime": "This is not a date and time.",
    "time": "This is not a time.",
    "select": "This is not one of the options.",
    "email": "This is not an email address.",
    "country": "This is not a country code of {format}.",
    "phone-number": "This is not a valid phone number.",
    "ssn": "This is not a social security number.",
    "domain": "This is not a domain name.",
    "subdomain": "A subdomain is not allowed here.",
    "url": "This is not a URL.",
    "protocol": "The URL's protocol must be one of {protocols}.",
    "url-domain": "The URL's domain must be one of {domains}.",
    "us-state-territory": "This is not a code of a US state or territory.",
    "us-zip-code": "This is not a {format} US ZIP code.",
    "uuid": "This is not a UUID.",
    "uuid-version": "This is not a UUID of version {version}.",
}

VALIDATOR_MESSAGES = {
    "required": "A value is required.",
    "unique": "This value occurs more than once.",
    "unique_case_insensitive": "This value occurs more than once.",
    "unique_with": "This combination of values occurs more than once.",
    "regex_match": "This value does not have the expected form.",
    "regex_exclude": "This value has a form that is not allowed.",
    "require_with": "A value is required here because of another field's value.",
    "require_without": "A value is required here because another field is empty.",
    "require_with_all": "A value is required here because of the other fields' values.",
    "require_without_all": "A value is required here because the other fields are empty.",
    "require_with_values": "A value is required here because of another field's value.",
    "require_without_values": "A value is required here because of another field's value.",
    "require_with_all_values": "A value is required here because of the other fields' values.",
    "require_without_all_values": "A value is required here because of the other fields' values.",
    "length": "This value must have {bounds} characters.",
    "alphabetical": "Only the letters a-z and A-Z are allowed.",
}
