"""The storage's presigned URLs: uploads stream in, results stream out."""

from aiohttp import web

from sandbox.answers import STRUCK, with_faults
from sandbox.context import SandboxContext
from sandbox.problems import StorageProblem
from sandbox.storage import STORAGE_PREFIX, Blob, BlobWriter

_CHUNK_BYTES = 256 * 1024


class StorageRoutes:
    def __init__(self, context: SandboxContext) -> None:
        self._context = context
        self._state = context.state

    def routes(self) -> list[web.RouteDef]:
        path = rf"{STORAGE_PREFIX}{{target:[\s\S]+}}"
        return [
            web.put(path, with_faults(self._context, "upload", self._upload)),
            web.get(path, with_faults(self._context, "download", self._download), allow_head=False),
        ]

    async def _upload(self, request: web.Request) -> web.StreamResponse:
        ticket = self._state.begin_upload(request.raw_path, _lower_case(request), self._context.now)
        writer = self._state.storage.writer(f"{ticket.import_id}.upload")
        try:
            await _receive(request, writer, size_bytes=ticket.size_bytes)
            blob = writer.commit()
        except BaseException:
            writer.abort()
            raise
        etag = self._state.finish_upload(ticket, blob, self._context.now)
        return web.Response(status=200, headers={"ETag": etag})

    async def _download(self, request: web.Request) -> web.StreamResponse:
        blob = self._state.download(request.raw_path, self._context.now, headers=_lower_case(request))
        response = web.StreamResponse(headers={"ETag": f'"{blob.md5}"'})
        response.content_type = "application/json"
        response.content_length = blob.size_bytes
        struck = request.get(STRUCK)
        if struck in {None, "truncate"}:
            await response.prepare(request)
            await _send(response, blob, up_to=blob.size_bytes // 2 if struck else blob.size_bytes)
        return response


async def _receive(request: web.Request, writer: BlobWriter, *, size_bytes: int) -> None:
    while chunk := await request.content.readany():
        writer.write(chunk)
    if writer.size_bytes != size_bytes:
        raise StorageProblem(400, "IncompleteBody", "The body is not as long as Content-Length says.")


async def _send(response: web.StreamResponse, blob: Blob, *, up_to: int) -> None:
    with blob.open() as stream:
        left = up_to
        while chunk := stream.read(min(_CHUNK_BYTES, left)):
            await response.write(chunk)
            left -= len(chunk)


def _lower_case(request: web.Request) -> dict[str, str]:
    return {name.lower(): value for name, value in request.headers.items()}
