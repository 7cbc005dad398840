// The story of a batch inference job by the SDK for JavaScript: node story.cjs CLIENTS ENDPOINT PARAMETERS
// Prints what was seen: the states of the job, the names of pages, the errors' names.
const [, , clients, endpoint, parameters] = process.argv;
const sdk = require("module").createRequire(`${clients}/`)("@aws-sdk/client-personalize");
const { schema, job } = JSON.parse(parameters);

const personalize = new sdk.PersonalizeClient({
  endpoint,
  region: "us-east-1",
  credentials: { accessKeyId: "AKIAEXAMPLE", secretAccessKey: "very secret" },
});
const call = (operation, params) => personalize.send(new sdk[`${operation}Command`](params));

async function refused(operation, params) {
  try {
    await call(operation, params);
    return "nothing";
  } catch (error) {
    return `${error.name} ${error instanceof sdk.PersonalizeServiceException} ${error.$metadata.httpStatusCode}`;
  }
}

async function main() {
  const { schemaArn } = await call("CreateSchema", { name: "js-clicks", schema });
  const { datasetGroupArn } = await call("CreateDatasetGroup", { name: "js-shop", tags: [{ tagKey: "a", tagValue: "ü" }] });
  const datasetType = "Interactions";
  const { datasetArn } = await call("CreateDataset", { name: "js", schemaArn, datasetGroupArn, datasetType });
  const { dataset } = await call("DescribeDataset", { datasetArn });
  const recipes = [];
  for await (const page of sdk.paginateListRecipes({ client: personalize, pageSize: 5 }, {})) {
    recipes.push(...page.recipes.map((each) => each.name));
  }
  const recipeArn = "arn:aws:personalize:::recipe/aws-user-personalization";
  const { solutionArn } = await call("CreateSolution", { name: "js-home", datasetGroupArn, recipeArn });
  const { solution } = await call("DescribeSolution", { solutionArn });
  const shop = job.datasetGroupArn;
  const filterExpression = "INCLUDE ItemID WHERE Items.PRICE = 1";
  const { filterArn } = await call("CreateFilter", { name: "js-cheap", datasetGroupArn: shop, filterExpression });
  const asked = { ...job, datasetGroupArn: undefined, filterArn };
  const { batchInferenceJobArn } = await call("CreateBatchInferenceJob", asked);
  let described;
  do {
    described = (await call("DescribeBatchInferenceJob", { batchInferenceJobArn })).batchInferenceJob;
  } while (["CREATE PENDING", "CREATE IN_PROGRESS"].includes(described.status));
  console.log(
    JSON.stringify({
      dataset: dataset.schemaArn === schemaArn && dataset.creationDateTime instanceof Date,
      recipes,
      solution: solution.recipeArn === recipeArn,
      status: described.status,
      taken: await refused("CreateBatchInferenceJob", asked),
      missing: await refused("DescribeSchema", { schemaArn: `${schemaArn}x` }),
      campaign: await refused("CreateCampaign", { name: "x", solutionVersionArn: job.solutionVersionArn }),
    }),
  );
}

main();
