"""An import's metadata: what `result_metadata` says of its file, its columns and its rows."""

from typing import Any

from sandbox.engine.judging import Findings
from sandbox.engine.mapping import fields_metadata
from sandbox.engine.plan import Plan
from sandbox.engine.preparing import Prepared
from sandbox.engine.table import Table


def import_metadata(prepared: Prepared, plan: Plan, findings: Findings) -> dict[str, Any]:
    sheet, table, mapped = prepared.table.sheet, prepared.table, prepared.mapped
    warnings = [*sheet.warnings, *_limit_warning(table)]
    warnings += [f"{each.field.label or each.field.key}: {text}" for each in mapped for text in each.kind.warnings]
    warnings += [f"{remark} ({count} cells)" for remark, count in findings.remarks.items()]
    return plan.about | {
        "user": plan.user,
        "importIdentifier": plan.settings.identifier,
        "encoding": sheet.encoding,
        "delimiter": sheet.delimiter,
        "sheet": sheet.name,
        "headerRow": table.start - 1 if table.header else None,
        "rawHeaders": table.header,
        "fields": fields_metadata(mapped, table.header),
        "totalRows": findings.row_count,
        "validRows": findings.row_count - findings.invalid_row_count,
        "invalidRows": findings.invalid_row_count,
        "rowsWithError": findings.rows_with_error,
        "errors": findings.errors,
        "errorCount": findings.error_count,
        "warnings": warnings,
    }


def _limit_warning(table: Table) -> list[str]:
    if table.limit is None or not table.sheet.has_more_than(table.limit, start=table.start):
        return []
    return [f"The rows beyond {table.limit} were left out."]
