# Three stages: what runs is the compiled gateway, its production packages and one uWebSockets.js binary, on glibc, not as root.
FROM node:22-bookworm-slim AS packages
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci --omit=dev --ignore-scripts
COPY scripts/prune-packages.js scripts/prune-packages.js
RUN node scripts/prune-packages.js node_modules

FROM node:22-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc tsconfig.json tsconfig.build.json ./
RUN npm ci --ignore-scripts
COPY src src
RUN npm run build

FROM node:22-bookworm-slim
WORKDIR /app
ENV NODE_ENV=production
COPY --from=packages /app/node_modules node_modules
COPY --from=build /app/dist dist
COPY package.json package.json
COPY bin bin
RUN mkdir -p /data /etc/sluice && chown -R 65532:65532 /data
USER 65532:65532
VOLUME /data
EXPOSE 8080 9090
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s CMD ["node", "bin/sluice.js", "health", "--admin", "http://127.0.0.1:9090"]
ENTRYPOINT ["node", "bin/sluice.js"]
CMD ["run", "-f", "/etc/sluice", "--data", "/data", "--listen", "0.0.0.0:8080", "--admin", "0.0.0.0:9090", "--admin-token-file", "/etc/sluice-admin/token", "--no-processes"]
