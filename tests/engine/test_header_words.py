"""Similar headers: typing errors match and are told, other words do not match, however alike they look."""

import pytest

from sandbox.engine.matching import match_columns
from sandbox.engine.schema import read_fields
from tests.support.engine import run

LABELS = (
    "First Name", "Last Name", "Email Address", "Phone Number", "Company Name", "Street Address", "Address Line 2",
    "City", "State", "Postal Code", "Country", "Date of Birth", "Start Date", "End Date", "Annual Salary", "Department",
    "Manager Email", "Employee ID", "Employment Status", "Notes", "Billing State", "Order Quantity", "Contact Name",
    "Order Number",
)  # fmt: skip
FIELDS = read_fields({"fields": [{"key": label, "label": label} for label in LABELS]})
HEADERS = {
    "First Name": "first_name|FIRST NAME|Frist Name|First Nmae|FirstName|First-Name|First Names|Fisrt Name|Firstname*",
    "Last Name": "Last_Name|Last Nam|LastName:|Lst Name|Last Nmae",
    "Email Address": (
        "Email Adress|E-mail Address|Email Addresses|EmailAddress|Emial Address|E-Mail Adress|Email Addr|Emailadress"
        "|Mail Address"
    ),
    "Phone Number": "Phone No.|Phone Numbers|Phone Nr|Phone #|Phone Numbr|PhoneNumber|Phone Num|Phnoe Number",
    "Company Name": "Compnay Name|Company-Name|Company Names|Company Nme",
    "Street Address": "Street Adress|Street Addr.|StreetAddress",
    "Address Line 2": "Adress Line 2|Address Line2",
    "City": "Citys|CITY",
    "State": "States|Sate",
    "Postal Code": "PostalCode|Postcode|Postal Codes|Potsal Code",
    "Country": "Contry|Coutnry",
    "Date of Birth": "Date Birth|DateOfBirth|Date of Brith",
    "Start Date": "Strat Date|Start Dates",
    "End Date": "EndDate",
    "Annual Salary": "Anual Salary|Annual Salary (USD)|Annual Salaries",
    "Department": "Departement|Deparment|Departments|Dept.",
    "Manager Email": "Manager E-mail|Manger Email|Managers Email|Manager's Email|Manager\u2019s Email",
    "Employee ID": "Employe ID|EmployeeID|Employees ID",
    "Employment Status": "Employment Stauts|Employment Statuses",
    "Notes": "Note|Ntoes",
    "Billing State": "Billing Sate",
    "Order Quantity": "Order Qty|Order Quantities",
    "Contact Name": "Contcat Name|Contact Names",
    "Order Number": "Order No|Order Nummber",
    "": (
        "Address Line 1|Cities Served|County|Start Rate|Employer ID|Employee IP|Billing Date|Shipping State"
        "|Filing State"
        "|Old Order Quantity"
        "|Contract Name|Older Number|Fax Number|Tax Number|Username|Surname|Birthplace|Amount|Stat Date"
    ),
}
FALSE_FRIENDS = (
    ("Shipping Date", "Shipping State"), ("Customer IP", "Customer ID"),
    ("Fax Number", "Tax Number"), ("Unsubscribed", "Subscribed"), ("Old Customer ID", "Customer ID"),
    ("Created By", "Created"), ("Weight (lb)", "Weight (kg)"), ("Sender Email", "Lender Email"),
    ("Internal Customer ID", "External Customer ID"), ("Sub Total Amount", "Total Amount"),
    ("Lessor Name", "Lessee Name"), ("Payer Name", "Payee Name"), ("Maximum Order Value", "Minimum Order Value"),
    ("Billingdate", "Billing State"), ("billing_date", "billing_state"), ("BillingDate", "BillingState"),
    ("PATIENT EMAIL", "Parent Email"), ("Form Date", "From Date"), ("Mother Name", "Brother Name"),
    ("Inactive", "Active"), ("Trainer Name", "Trainee Name"), ("Net Price EUR", "Net Price USD"),
    ("Check In Date", "Check Date"), ("Loan Amount", "Loan Account"), ("Nom du p\u00e8re", "Nom du fr\u00e8re"),
    (
        "\u6536\u8d27\u4eba\u8be6\u7ec6\u5730\u5740\u4fe1\u606f",
        "\u53d1\u8d27\u4eba\u8be6\u7ec6\u5730\u5740\u4fe1\u606f",
    ),
)  # fmt: skip
FRIENDS = (
    ("E-mail", "Email"), ("Emial", "Email"), ("Mail", "Email"), ("Naem", "Name"), ("Cust. Name", "Customer Name"),
    ("Tel. Number", "Telephone Number"), ("Stra\u00dfe und Hausnumer", "Stra\u00dfe und Hausnummer"),
    ("Date de naisance", "Date de naissance"), ("Numero de client", "Num\u00e9ro de client"),
    ("Weight (kg)", "Weight"), ("Organizaton", "Organization"), ("Licence Plate", "License Plate"), ("QTY", "Quantity"),
)  # fmt: skip


def taken(header, *labels):
    fields = read_fields({"fields": [{"key": label, "label": label} for label in labels]})
    return next(iter(match_columns([header], fields=fields, fuzzy=True)), "")


def test_of_many_real_headers_none_is_taken_wrongly_and_few_are_missed():
    right = [(header, label) for label, headers in HEADERS.items() for header in headers.split("|")]
    found = {header: next(iter(match_columns([header], fields=FIELDS, fuzzy=True)), "") for header, _ in right}
    wrong = [(header, found[header]) for header, label in right if found[header] not in ("", label)]
    missed = [header for header, label in right if label and not found[header]]
    assert (wrong, missed) == ([], ["Annual Salaries"])


@pytest.mark.parametrize(("header", "label"), FALSE_FRIENDS)
def test_a_header_with_another_word_is_not_similar(header, label):
    assert taken(header, label) == ""


@pytest.mark.parametrize(("header", "label"), FRIENDS)
def test_a_header_with_a_typing_error_or_an_abbreviation_is_similar(header, label):
    assert taken(header, label) == label


def test_a_word_of_another_field_is_no_typing_error():
    assert taken("Rechnungs Beitrag", "Rechnungs Betrag") == "Rechnungs Betrag"
    assert taken("Rechnungs Beitrag", "Rechnungs Betrag", "Beitrag im Jahr") == ""


def test_a_header_as_long_as_a_text_is_no_name():
    assert taken("Email Adress" * 50_000, "Email Address" * 50_000) == ""


def test_a_similar_column_is_told_with_its_field():
    fields = {"key": "n", "label": "Name"}, {"key": "e", "label": "Email"}
    outcome = run("Nr\nx\n\nNmae,Email\nIda,i@x.example\n", *fields, headerRowOverride=3)
    told = [one for one in outcome.metadata["warningDetails"] if one["code"] == "column_similar"]
    assert [(one["level"], one["firstRow"], one["count"], one["sample"], one["fieldKey"]) for one in told] == [
        ("note", 4, 1, "Nmae", "n")
    ]
    assert told[0]["message"] == 'The column "Nmae" is imported as Name, to which its name is only similar.'


def test_a_column_that_differs_in_case_and_punctuation_only_is_not_told():
    outcome = run(
        "E-MAIL,first_name\ni@x.example,Ida\n", {"key": "e", "label": "Email"}, {"key": "n", "label": "First Name"}
    )
    assert (len(outcome.rows[0]), outcome.metadata["warnings"]) == (2, [])
